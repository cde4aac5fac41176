# The program of the layers bundle, in its image at /app/look.sh: what the layers add up to, and what becomes of writes.

show() {
    echo
    echo "== $1"
}

show "the root"
awk '$2 == "/" { print $1, $3 }' /proc/mounts

show "what the image says"
echo "LAYERS=$LAYERS, started in $PWD"
cat /app/motd
echo "old: $(ls /app/old 2>/dev/null || echo gone)"
echo "cache: $(ls /app/cache)"

show "what this container wrote before"
cat /notes 2>/dev/null || echo nothing
ls /app/README 2>/dev/null

show "now it writes"
echo "$(hostname) was here" >>/notes
echo "and here" >>/app/motd
rm -f /app/cache/b
echo "notes: $(wc -l </notes)"
