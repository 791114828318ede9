#!/usr/bin/env bash
# Mails the report of the newest checks.
#   send.sh QUEUE_URL FROM TO
# QUEUE_URL is a queue that is subscribed to the result topic. Its messages stay there
# until their retention ends: give it eight days. Run it from a checkout, once a week.
set -euo pipefail
queue=$1 from=$2 to=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
go run ./cmd/report -queue "$queue" -out "$dir/report.html"
subject="Replicas, $(date -u +%Y-%m-%d)"
jq -n --arg from "$from" --arg to "$to" --arg subject "$subject" --rawfile html "$dir/report.html" '{
  FromEmailAddress: $from, Destination: {ToAddresses: [$to]},
  Content: {Simple: {Subject: {Data: $subject}, Body: {Html: {Data: $html}}}}
}' > "$dir/mail.json"
aws sesv2 send-email --cli-input-json "file://$dir/mail.json"
