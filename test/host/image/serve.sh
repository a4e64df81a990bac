#!/bin/bash
# Serves one virtio port: `run ID BYTES COMMAND` (COMMAND in base64, BYTES of standard input follow) starts a shell with the port
# as its output, between the lines `begin ID` and `end ID CODE`. Reads end at once while nobody is connected, and writes wait.
exec 3<>"$1"
export HOME=/root LC_ALL=C.UTF-8
cd /work || exit
while true; do
  IFS=' ' read -r word id bytes command <&3 || { sleep 0.1; continue; }
  [ "$word" = run ] || continue
  printf 'begin %s\n' "$id" >&3
  head -c "$bytes" <&3 | bash -c "$(base64 -d <<<"$command")" >&3 2>&1 3>&-
  printf '\nend %s %s\n' "$id" "${PIPESTATUS[1]}" >&3
done
