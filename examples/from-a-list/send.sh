#!/usr/bin/env bash
# Sends cbr-replicator's queue a request for each vault of a list.
#
#   send.sh QUEUE_URL [REQUESTED_AT] < vaults.txt
#
# A line is a source vault's id and, unless the stack has a default, its
# destination vault's; # begins a comment. REQUESTED_AT is now, and is printed. If
# you send a list a second time, use the REQUESTED_AT of the first time: what was
# replicated since then is not replicated twice.
set -euo pipefail
queue=${1:?"usage: send.sh QUEUE_URL [REQUESTED_AT] < vaults.txt"}
requested_at=${2:-$(date -u +%Y-%m-%dT%H:%M:%SZ)}
echo "requested_at $requested_at" >&2

# SQS takes ten messages a call.
batches=$(jq -ncR --arg at "$requested_at" '
  [inputs | sub("#.*"; "") | [splits("\\s+") | select(. != "")] | select(length > 0)
    | {vault_id: .[0]} + (if .[1] then {destination_vault_id: .[1]} else {} end)
    | {requested_at: $at, replicate: .} | tojson]
  | range(0; length; 10) as $i
  | .[$i:$i + 10] | to_entries | map({Id: (.key | tostring), MessageBody: .value})')
if [ -z "$batches" ]; then
  echo "The list is empty." >&2
  exit 1
fi

sent=0
while read -r batch; do
  # The call succeeds even if messages in it fail.
  failed=$(aws sqs send-message-batch --queue-url "$queue" --entries "$batch" --output text --query 'length(Failed || `[]`)')
  if [ "$failed" != 0 ]; then
    echo "$failed messages failed, after $sent. Send the list once more, with $requested_at." >&2
    exit 1
  fi
  sent=$((sent + $(jq length <<<"$batch")))
done <<<"$batches"
echo "$sent sent" >&2
