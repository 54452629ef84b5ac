#!/bin/sh
# Make the seeds of fuzz/corpus/inspect with qemu-img (package qemu-utils).
#
# The fuzz target reads its input as (u64, u64, bytes), so that every seed is 16 bytes, which choose the
# chunks, and then an image's first bytes.
set -eu
corpus=$(cd "$(dirname "$0")" && pwd)/corpus/inspect
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$corpus"
cd "$work"

seed() { # NAME FILE BYTES
    { printf '0123456789abcdef'; head -c "$3" "$2"; } >"$corpus/$1"
}

create() { qemu-img create -q "$@"; }

create -f qcow2 -o compat=0.10 v2 1M
create -f qcow2 -o compat=1.1 v3 1M
create -f qcow2 -b v3 -F qcow2 backing
create -f qcow2 -o data_file=ext.raw data 1M
create -f qcow2 -o extended_l2=on l2 1M
for image in v2 v3 backing data l2; do seed "qcow2-$image" "$image" 1024; done

for kind in monolithicSparse streamOptimized monolithicFlat twoGbMaxExtentSparse; do
    create -f vmdk -o subformat=$kind "$kind.vmdk" 1M
    seed "vmdk-$kind" "$kind.vmdk" 16384
done
create -f vmdk -b monolithicSparse.vmdk -F vmdk child.vmdk
seed vmdk-parent child.vmdk 16384

for kind in vpc vhdx vdi qed; do
    create -f $kind "image.$kind" 1M
    seed "$kind" "image.$kind" 1024
done
create -f luks --object secret,id=s,data=s -o key-secret=s,iter-time=10 image.luks 1M
seed luks image.luks 1024

head -c 512 /dev/zero >boot
printf '\125\252' | dd of=boot bs=1 seek=510 conv=notrunc status=none
seed mbr boot 512
printf 'plain data' >raw
seed raw raw 10
