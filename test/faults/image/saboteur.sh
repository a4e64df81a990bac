#!/bin/sh
# Started in place of systemd (init=), breaks one thing in the RAM overlay as sallyport.fault= says, and becomes systemd: the
# guest finds itself as if its image had been built that way.
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
units=/etc/systemd/system

disable() { find "$units" -type l -name "$1" -delete; }

# The image's own way from ip= to a .network file, in place of the generator; $1 is the script's mode.
own_setup() {
  disable systemd-network-generator.service
  install -m "$1" /usr/local/lib/faults/setup-network.sh /usr/local/bin/setup-network.sh
  install -m 0644 /usr/local/lib/faults/setup-network.service "$units/setup-network.service"
}
enable_own_setup() { ln -s "$units/setup-network.service" "$units/multi-user.target.wants/setup-network.service"; }

program() {
  rm -f "$1"
  cat > "$1"
  chmod 0755 "$1"
}

fault=$(sed -n 's/.*sallyport\.fault=\([^ ]*\).*/\1/p' /proc/cmdline)
case "$fault" in
none) ;;
network-file)
  printf '[Match]\nName=eth0\n[Network]\nDHCP=ipv4\n' > /etc/systemd/network/10-eth0.network
  ;;
no-driver)
  # The initramfs has loaded it already.
  modprobe -r virtio_net
  find /usr/lib/modules -name 'virtio_net.ko*' -delete
  ;;
networkd-masked)
  disable systemd-networkd.service
  ln -s /dev/null "$units/systemd-networkd.service"
  ;;
setup-not-enabled)
  own_setup 0755
  ;;
setup-not-executable)
  own_setup 0644
  enable_own_setup
  ;;
setup-not-on-console)
  own_setup 0755
  sed -i 's/journal+console/journal/' "$units/setup-network.service"
  enable_own_setup
  ;;
agent-crash)
  sed -i '1i throw new Error("the agent cannot start");' /usr/lib/sallyport/agent.cjs
  ;;
agent-on-loopback)
  sed -i 's/listenOn(server, port, "0\.0\.0\.0")/listenOn(server, port, "127.0.0.1")/' /usr/lib/sallyport/agent.cjs
  grep -q 'listenOn(server, port, "127.0.0.1")' /usr/lib/sallyport/agent.cjs
  ;;
no-display)
  echo 'SCREEN=none' > /etc/sallyport/screen.env
  ;;
browser-crash)
  program /usr/bin/firefox-esr <<'END'
#!/bin/sh
sleep 1
kill -SEGV $$
END
  ;;
*)
  echo "saboteur: no such fault: $fault"
  exit 1
  ;;
esac
echo "saboteur: $fault"
exec /sbin/init "$@"
