#!/bin/sh
set -eu
parameter=$(grep -o 'ip=[^ ]*' /proc/cmdline)
IFS=: read -r address _ gateway _ _ device _ <<END
${parameter#ip=}
END
mkdir -p /run/systemd/network
cat > "/run/systemd/network/70-$device.network" <<END
[Match]
Name=$device
[Network]
Address=$address/24
Gateway=$gateway
END
echo "setup-network: $device will have $address"
