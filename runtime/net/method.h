/* The methods of the wire, for server and client. Each has a request and a response message in proto/, but for pushes,
 * which have no answer. */
#pragma once

/* Never change, never reuse. */
enum net_method {
    NET_HELLO = 0x0001,
    NET_RAW_PUT = 0x0101,
    NET_RAW_GET = 0x0102,
    NET_RAW_DELETE = 0x0103,
    NET_RAW_SCAN = 0x0104,
    NET_CAS = 0x0105,
    NET_CAS_GET = 0x0106,
    NET_CAS_DELETE = 0x0107,
    NET_CAS_SCAN = 0x0108,
    NET_BATCH = 0x0109,
    NET_GET_TSO = 0x0201,
    NET_GET_NAMESPACE = 0x0202,
    NET_LIST_NAMESPACES = 0x0203,
    NET_CREATE_NAMESPACE = 0x0204,
    NET_GET_REGION = 0x0205,
    NET_ADMIN = 0x0301,
    NET_CONSOLE_EVAL = 0x0401,
    NET_CONSOLE_COMPLETE = 0x0402,
    NET_RAFT = 0x0501, /* a push between stores: RaftBatch */
};
