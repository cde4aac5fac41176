# The program of the systemd-service bundle: takes a while until it can serve, and says so. It is bound to /service.sh.

stop() {
    systemd-notify --stopping --status "stops"
    exit 0
}
trap stop TERM # as pid 1 it would not be ended by a signal that it does not handle

systemd-notify --status "warms up"
sleep 2
systemd-notify --ready --status "serves as pid $$ of $(hostname)"

while :; do
    sleep 1000 &
    wait
done
