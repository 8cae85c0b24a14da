# Everything outside the tree, from Debian packages (docs: CONTRIBUTING.md; the list: scripts/deps.sh).
find_package(PkgConfig REQUIRED)
foreach(package libuv luajit libsodium libprotobuf-c jansson libmicrohttpd libedit libxxhash liblz4 libzstd rocksdb cmocka)
  string(MAKE_C_IDENTIFIER ${package} id)
  pkg_check_modules(${id} REQUIRED IMPORTED_TARGET ${package})
endforeach()
find_program(PROTOC_C protoc-c REQUIRED)
find_package(Threads REQUIRED)
