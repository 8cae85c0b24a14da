// etcdraft: etcd's Raft library driven as bench/raft_core.c drives ours: three members in one process, messages handed
// over in memory, its own MemoryStorage, payloads of 128 bytes, proposals one by one and in batches of 64.
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go build -o build/etcdraft bench/peers/etcdraft.go     (make deps-bench)
//	GOMAXPROCS=1 build/etcdraft [SECONDS]
//
// Rates are per second of CPU time of this process, its garbage collector included.
package main

import (
	"fmt"
	"io/ioutil"
	"log"
	"os"
	"strconv"
	"syscall"

	"go.etcd.io/etcd/raft"
	pb "go.etcd.io/etcd/raft/raftpb"
)

const (
	members = 3
	payload = 128
	ring    = 1 << 15
	keep    = 5000
)

type group struct {
	nodes     [members]*raft.RawNode
	stores    [members]*raft.MemoryStorage
	compacted [members]uint64
	committed uint64
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "etcdraft:", err)
		os.Exit(1)
	}
}

func cpuSeconds() float64 {
	var r syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	return float64(r.Utime.Sec+r.Stime.Sec) + float64(r.Utime.Usec+r.Stime.Usec)/1e6
}

func open() *group {
	g := &group{}
	first := pb.Snapshot{Metadata: pb.SnapshotMetadata{
		Index: 1, Term: 1, ConfState: pb.ConfState{Voters: []uint64{1, 2, 3}}}}
	for i := range g.nodes {
		g.stores[i] = raft.NewMemoryStorage()
		check(g.stores[i].ApplySnapshot(first))
		node, err := raft.NewRawNode(&raft.Config{
			ID: uint64(i + 1), ElectionTick: 10, HeartbeatTick: 3, Storage: g.stores[i], Applied: 1,
			MaxSizePerMsg: 1 << 20, MaxInflightMsgs: 1024, PreVote: true, CheckQuorum: true})
		check(err)
		g.nodes[i] = node
	}
	check(g.nodes[0].Campaign())
	g.drain()
	return g
}

// turn does what one Ready asks for.
func (g *group) turn(i int) bool {
	node, store := g.nodes[i], g.stores[i]
	if !node.HasReady() {
		return false
	}
	rd := node.Ready()
	check(store.Append(rd.Entries))
	if !raft.IsEmptyHardState(rd.HardState) {
		check(store.SetHardState(rd.HardState))
	}
	if n := len(rd.CommittedEntries); n > 0 {
		last := rd.CommittedEntries[n-1].Index
		if i == 0 {
			g.committed = last
		}
		if last > g.compacted[i]+ring/2 {
			check(store.Compact(last - keep))
			g.compacted[i] = last - keep
		}
	}
	msgs := rd.Messages
	node.Advance(rd)
	for _, m := range msgs {
		check(g.nodes[m.To-1].Step(m))
	}
	return true
}

func (g *group) drain() {
	for busy := true; busy; {
		busy = false
		for i := range g.nodes {
			busy = g.turn(i) || busy
		}
	}
}

func measure(name string, batch int, seconds float64) {
	g, data := open(), make([]byte, payload)
	for _, d := range []float64{seconds / 4, seconds} { // the first warms up
		start, before := cpuSeconds(), g.committed
		now := start
		for now-start < d {
			for i := 0; i < 1024; i += batch {
				entries := make([]pb.Entry, batch)
				for k := range entries {
					entries[k].Data = data
				}
				check(g.nodes[0].Step(pb.Message{Type: pb.MsgProp, From: 1, Entries: entries}))
				g.drain()
			}
			now = cpuSeconds()
		}
		if d == seconds {
			fmt.Printf("%-6s %10.0f entries committed/s of %d bytes\n", name, float64(g.committed-before)/(now-start), payload)
		}
	}
}

func main() {
	seconds := 2.0
	if len(os.Args) > 1 {
		var err error
		seconds, err = strconv.ParseFloat(os.Args[1], 64)
		check(err)
	}
	raft.SetLogger(&raft.DefaultLogger{Logger: log.New(ioutil.Discard, "", 0)})
	measure("one", 1, seconds)
	measure("batch", 64, seconds)
}
