#!/bin/sh
# Writes users.conf of nats-server: headquarters' programs, and every booth whose
# name is on a line of standard input. nats-server has no patterns, so each booth
# is named. Source: mqtt contract, sections 1 and 10; the same words as in acl.
#
#	nats-users.sh < booths.txt > /etc/nats/users.conf
set -eu

# user NAME TYPES PUBLISH SUBSCRIBE: lists, comma-separated. An MQTT client needs
# $MQTT.sub for what the server sends it at QoS 1; a NATS client would read
# everybody's there, and so booths are kept to MQTT.
user() {
	printf '  {user: "CN=%s", allowed_connection_types: [%s],\n    permissions: {publish: {allow: [%s]}, subscribe: {allow: ["$MQTT.sub.>", %s]}}}\n' "$@"
}

echo 'users: ['
heard='"booth.v1.*.evt", "booth.v1.*.evt.>", "booth.v1.*.status", "booth.v1.*.state", "booth.v1.*.state.>"'
stream='"$JS.API.INFO", "$JS.API.STREAM.INFO.EVT", "$JS.API.STREAM.CREATE.EVT", "$JS.API.CONSUMER.CREATE.EVT.receiver", "$JS.API.CONSUMER.INFO.EVT.receiver", "$JS.API.CONSUMER.MSG.NEXT.EVT.receiver", "$JS.ACK.EVT.receiver.>"'
for name in HQ-receiver HQ-receiver-2 HQ-receiver-3; do
	user "$name" "MQTT, STANDARD" "\"booth.v1.*.rcpt\", $stream" "$heard, \"_INBOX.$name.>\""
done
user HQ-lists MQTT '"list.v1.>"' '"booth.v1.*.want", "booth.v1.*.want.>", "booth.v1.*.state.lists"'
user HQ-lists-serve MQTT '"list.v1.>"' '"booth.v1.*.want", "booth.v1.*.want.>"'
user HQ-control MQTT '"booth.v1.*.cmd", "fleet.v1.notice"' '"booth.v1.*.evt.cmdresult", "booth.v1.*.evt.device", "booth.v1.*.status", "booth.v1.*.state", "booth.v1.*.state.>"'
while read -r booth; do
	case $booth in
	*[!a-z0-9-]* | -* | ?? | ? | '')
		echo "nats-users.sh: not a booth's name: $booth" >&2
		exit 1
		;;
	esac
	own="booth.v1.$booth"
	user "$booth" MQTT "\"$own.status\", \"$own.state.>\", \"$own.evt.>\", \"$own.want.>\"" \
		"\"$own.rcpt\", \"$own.cmd\", \"list.v1\", \"list.v1.>\", \"fleet.v1\", \"fleet.v1.>\""
done
echo ']'
