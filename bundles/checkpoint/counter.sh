# The program of the checkpoint bundle: counts. The number is in this shell's memory; /tmp/count is for others to look.

number=0
while :; do
    number=$((number + 1))
    echo $number >/tmp/new && mv /tmp/new /tmp/count
    sleep 0.1
done
