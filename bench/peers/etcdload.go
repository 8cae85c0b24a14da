// etcdload: a closed loop of callers on a three-member etcd, for scripts/bench.sh cluster. Prints as loadgen --brief does:
// operations per second, p50 ms, p99 ms, CPU microseconds of all servers per operation.
//
// Debian: golang-etcd-server-dev; built with GO111MODULE=off GOPATH=/usr/share/gocode.
package main

import (
	"context"
	"flag"
	"fmt"
	"io/ioutil"
	"math/rand"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/clientv3"
)

var (
	endpoints   = flag.String("endpoints", "", "comma separated; the leader's is used")
	op          = flag.String("op", "put", "put, get (linearizable) or fill")
	callers     = flag.Int("callers", 64, "requests on their way")
	connections = flag.Int("connections", 4, "gRPC connections")
	seconds     = flag.Float64("seconds", 3, "measured, behind one that is not")
	size        = flag.Int("value", 128, "bytes of a value")
	keys        = flag.Int("keys", 100000, "key space")
	pids        = flag.String("pid", "", "of the servers, comma separated")
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "etcdload:", err)
		os.Exit(1)
	}
}

// CPU seconds of all servers so far: fields 14 and 15 of /proc/PID/stat, in hundredths.
func cpu() (sum float64) {
	for _, pid := range strings.Split(*pids, ",") {
		b, err := ioutil.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			continue
		}
		f := strings.Fields(string(b[strings.LastIndex(string(b), ")")+2:]))
		user, _ := strconv.ParseFloat(f[11], 64)
		system, _ := strconv.ParseFloat(f[12], 64)
		sum += (user + system) / 100
	}
	return
}

func key(i int) string { return fmt.Sprintf("k%015d", i) }

func connect(at []string) *clientv3.Client {
	c, err := clientv3.New(clientv3.Config{Endpoints: at, DialTimeout: 5 * time.Second})
	must(err)
	return c
}

func leader(all []string) []string {
	c := connect(all)
	defer c.Close()
	for _, one := range all {
		if s, err := c.Status(context.Background(), one); err == nil && s.Leader == s.Header.MemberId {
			return []string{one}
		}
	}
	must(fmt.Errorf("nobody leads"))
	return nil
}

func main() {
	flag.Parse()
	at := leader(strings.Split(*endpoints, ","))
	clients := make([]*clientv3.Client, *connections)
	for i := range clients {
		clients[i] = connect(at)
	}
	value := string(make([]byte, *size))
	var next int64 = -1
	var stop, measuring int32
	took := make([][]float64, *callers)
	var wg sync.WaitGroup
	for g := 0; g < *callers; g++ {
		wg.Add(1)
		go func(g int) {
			defer wg.Done()
			c, r := clients[g%*connections], rand.New(rand.NewSource(int64(g)))
			for atomic.LoadInt32(&stop) == 0 {
				i := r.Intn(*keys)
				if *op == "fill" {
					if i = int(atomic.AddInt64(&next, 1)); i >= *keys {
						return
					}
				}
				began := time.Now()
				var err error
				if *op == "get" {
					_, err = c.Get(context.Background(), key(i))
				} else {
					_, err = c.Put(context.Background(), key(i), value)
				}
				must(err)
				if atomic.LoadInt32(&measuring) == 1 {
					took[g] = append(took[g], time.Since(began).Seconds()*1e3)
				}
			}
		}(g)
	}
	if *op == "fill" {
		wg.Wait()
		return
	}
	time.Sleep(time.Second)
	used, began := cpu(), time.Now()
	atomic.StoreInt32(&measuring, 1)
	time.Sleep(time.Duration(*seconds * float64(time.Second)))
	atomic.StoreInt32(&measuring, 0)
	elapsed := time.Since(began).Seconds()
	used = cpu() - used
	atomic.StoreInt32(&stop, 1)
	wg.Wait()
	var all []float64
	for _, one := range took {
		all = append(all, one...)
	}
	if len(all) == 0 {
		must(fmt.Errorf("nothing was answered"))
	}
	sort.Float64s(all)
	n := float64(len(all))
	fmt.Printf("%.0f %.3f %.3f %.1f\n", n/elapsed, all[len(all)/2], all[len(all)*99/100], used/n*1e6)
}
