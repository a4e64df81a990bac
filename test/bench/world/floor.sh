#!/bin/bash
# What a create and a destroy cost when nobody keeps a ledger, looks for what is left, or bounds what a microVM may do: the same things in
# the kernel, by as few programs as there can be. Arguments: how often, a number of its own, the program that plays the VMM, a folder,
# the control group to make one in. Prints the microseconds of each.
set -eu
times=$1 self=$2 vmm=$3 folder=$4 group=$5/floor-$2
tap=fl$self ns=fl$self address=192.168.103.$self mac=02:00:00:00:00:$(printf %02x "$self") bridge=br0
for _ in $(seq "$times"); do
  begin=${EPOCHREALTIME/./}
  mkdir -p "$folder/$self" "$group"
  ip netns add $ns
  ip -netns $ns tuntap add dev $tap mode tap
  nft add element inet sallyport guests "{ $address . $mac }"
  (echo 0 >"$group/cgroup.procs" && exec nsenter --net=/run/netns/$ns -- "$vmm" $tap "$folder/$self/sock" >"$folder/$self/out") &
  until [ -S "$folder/$self/sock" ]; do sleep 0.001; done
  ip -netns $ns link set dev $tap netns $$
  printf '%s\n' "link set dev $tap master $bridge" "link set dev $tap type bridge_slave isolated on" "link set dev $tap up" \
    "neigh replace $address lladdr $mac dev $bridge nud permanent" | ip -batch -
  kill -9 $!
  wait $! 2>/dev/null || true
  printf '%s\n' "link delete dev $tap" "netns delete $ns" "neigh delete $address dev $bridge" | ip -batch -
  nft delete element inet sallyport guests "{ $address . $mac }"
  rm -r "$folder/$self"
  rmdir "$group"
  echo $((${EPOCHREALTIME/./} - begin))
done
