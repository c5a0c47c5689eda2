#!/bin/sh
# Usage: fetch_onnxruntime.sh DIR [PYTHON]
#
# Lays ONNX Runtime's C++ headers and library into DIR, for cmake -DONNXRUNTIME_ROOT=DIR.
# The headers are unpacked, not installed, from Debian 13's package libonnxruntime-dev; the library
# is that of the Python wheel onnxruntime (or onnxruntime-gpu) which PYTHON (default: python3) has.
# A library serves programs compiled with older headers. Needs apt and dpkg-deb; no root.
set -eu

if [ $# -lt 1 ]; then
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
target=$1
python=${2:-python3}
mirror=http://deb.debian.org/debian
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

if ! wheel=$("$python" -c 'import pathlib, onnxruntime as o; print(pathlib.Path(o.__file__).parent)'); then
    echo "fetch_onnxruntime.sh: $python has no onnxruntime; type: $python -m pip install onnxruntime" >&2
    exit 2
fi
for tool in apt-get dpkg-deb; do
    if ! command -v "$tool" >/dev/null; then
        echo "fetch_onnxruntime.sh: no $tool here; unpack an ONNX Runtime release into $target instead" >&2
        exit 2
    fi
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/deb" "$work/root"
: >"$work/status"
echo "deb [signed-by=$keyring] $mirror trixie main" >"$work/sources.list"
# A world of its own, so that the machine's package lists stay as they are.
cat >"$work/apt.conf" <<EOF
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$work/lists";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
Acquire::Languages "none";
APT::Sandbox::User "$(id -un)";
EOF
export APT_CONFIG="$work/apt.conf"
apt-get -qq update
(cd "$work/deb" && apt-get -qq download libonnxruntime-dev)
dpkg-deb -x "$work"/deb/libonnxruntime-dev_*.deb "$work/root"

mkdir -p "$target/include" "$target/lib"
cp -r "$work/root/usr/include/onnxruntime/." "$target/include/"
cp "$wheel"/capi/libonnxruntime.so.*.*.* "$target/lib/libonnxruntime.so.1"
# Those of onnxruntime-gpu, which looks for them beside itself.
for provider in "$wheel"/capi/libonnxruntime_providers_*.so; do
    if [ -e "$provider" ]; then cp "$provider" "$target/lib/"; fi
done
ln -sf libonnxruntime.so.1 "$target/lib/libonnxruntime.so"
echo "ONNX Runtime is in $target; configure with -DONNXRUNTIME_ROOT=$(cd "$target" && pwd)"
