#!/bin/sh
# Breaks one thing in the running guest, as the word on its input says: for a clone, whose template must have been in order. Or tells what of
# a machine only one may have, and its clock.
set -eu
units() { systemctl kill --signal=KILL "$@"; }

tell() {
  read -r hostname </proc/sys/kernel/hostname
  read -r machine </etc/machine-id
  read -r boot </proc/sys/kernel/random/boot_id
  printf '{"hostname":"%s","machineId":"%s","bootId":"%s","random":"%s","clockSec":%s}' \
    "$hostname" "$machine" "$boot" "$(head -c16 /dev/urandom | base64)" "$(date +%s.%N)"
  exit
}

read -r fault
case "$fault" in
tell) tell ;;
gateway)
  ip route replace default via 192.168.100.254 dev eth0
  ;;
no-display)
  echo 'SCREEN=none' > /etc/sallyport/screen.env
  units sallyport-display.service
  ;;
browser-crash)
  rm /usr/bin/firefox-esr
  printf '#!/bin/sh\nsleep 1\nkill -SEGV $$\n' > /usr/bin/firefox-esr
  chmod 0755 /usr/bin/firefox-esr
  units sallyport-browser.service
  ;;
*)
  echo "no such fault: $fault"
  exit 1
  ;;
esac
echo "done"
