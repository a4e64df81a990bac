#!/bin/bash
# Serves one virtio port. `run ID BYTES COMMAND` (COMMAND in base64; BYTES of standard input follow) starts a shell with the port
# as its output, between the lines `begin ID` and `end ID CODE`. Who hangs up ends it: reads end at once while nobody is connected,
# and writes wait until somebody is.
exec 3<>"$1"
stdin=/run/${1##*/}.stdin
export HOME=/root LC_ALL=C.UTF-8
cd /carried || exit

while true; do
  IFS=' ' read -r word id bytes command <&3 || { echo >&3 || exit; continue; }
  [ "$word" = run ] || continue
  head -c "$bytes" <&3 >"$stdin"
  [ "$(stat -c %s "$stdin")" = "$bytes" ] || continue
  printf 'begin %s\n' "$id" >&3
  setsid bash -c "$(base64 -d <<<"$command")" <"$stdin" >&3 2>&1 3>&- &
  while kill -0 $! 2>/dev/null; do
    # Above 128: nothing came, as it should be. A line is the empty one that the next caller begins with.
    read -t 0.2 -r _ <&3
    [ $? -gt 128 ] || kill -KILL -- -$! 2>/dev/null
  done
  wait $!
  printf '\nend %s %s\n' "$id" $? >&3
done
