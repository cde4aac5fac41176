# The program of the containers `one`, `none` and `host` of the bridge bundle: which network there is, and who answers.

show() {
    echo
    echo "== $1"
}

answers() {
    if said=$(ping -c 1 -W 2 "$1" 2>&1); then
        echo "$1 answers"
    else
        echo "$1 does not answer ($(echo "$said" | tail -n 1))"
    fi
}

# A request by hand: busybox' wget looks for libraries that a static program does not have.
ask() {
    printf 'GET /cgi-bin/who HTTP/1.0\r\n\r\n' | nc -w 2 "$1" 80 2>&1 | tail -n 1
}

show "interfaces"
ls /sys/class/net

show "addresses"
ip -4 -o addr | awk '{ print $2, $4 }'

show "routes"
ip route

show "lo"
answers 127.0.0.1
[ "$1" = host ] && exit

show "the host"
answers 10.88.77.1

show "the container two"
answers 10.88.77.3
ask 10.88.77.3

show "the outside world"
answers 203.0.113.2
ask 203.0.113.2
exit 0
