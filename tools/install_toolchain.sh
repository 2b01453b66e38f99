#!/bin/sh
# Install the cross-compiler, the emulator and cmake where this machine allows it; elsewhere say what
# to install and go on: what needs them then counts as not verified.
set -u

packages=
need() {
    command -v "$1" >/dev/null 2>&1 || packages="$packages $2"
}
need cmake cmake
need cc gcc
need arm-none-eabi-gcc gcc-arm-none-eabi
need qemu-system-arm qemu-system-arm
# the compiler without its C library does not link a firmware
if ! command -v arm-none-eabi-gcc >/dev/null 2>&1 ||
    [ "$(arm-none-eabi-gcc -print-file-name=nano.specs)" = nano.specs ]; then
    packages="$packages libnewlib-arm-none-eabi"
fi
[ -z "$packages" ] && exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
    as_root="sudo -n"
    command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null || as_root=none
fi
if [ "$as_root" != none ] && command -v apt-get >/dev/null 2>&1; then
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086  # both are lists of words
    if $as_root apt-get update -qq && $as_root apt-get install -y -qq $packages >/dev/null; then
        exit 0
    fi
fi
echo "not installed:$packages"
echo "install with: apt-get install$packages"
echo "until then firmware is neither built nor run; such results are marked 'not verified'"
exit 0
