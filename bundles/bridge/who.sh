#!/bin/sh
# What the servers of the bridge bundle answer: from which address they were asked.
echo "Content-Type: text/plain"
echo
echo "$HOSTNAME was asked by $REMOTE_ADDR"
