#!/usr/bin/env bash
# Builds aiemp-node for bare Debian machines of this architecture, into target/dist/ (or the folder given).
# With the musl target and musl-gcc installed the binary is static and runs on any Linux; otherwise it links the C
# library, and the script says the oldest glibc that will do. A static glibc is not offered: its name look-ups load
# libraries of exactly the version it was built with.
set -euo pipefail
cd "$(dirname "$0")/.."
dist=$(realpath -m "${1:-target/dist}")
arch=$(uname -m)
musl="$arch-unknown-linux-musl"
gnu="$arch-unknown-linux-gnu"
target_dir=${CARGO_TARGET_DIR:-target}

# The newest version of a library's symbols that a binary asks for; nothing if it asks for none.
newest_glibc() {
    readelf --version-info --wide "$1" | { grep -o 'GLIBC_[0-9][0-9.]*' || true; } | sort -uV | tail -n 1
}

if rustup target list --installed | grep -qx "$musl" && command -v musl-gcc >/dev/null; then
    target=$musl
    # ring, SQLite, zstd and jemalloc bring C code: it must be compiled against musl as well.
    export "CC_${musl//-/_}=musl-gcc"
else
    target=$gnu
    echo "no static build: needs 'rustup target add $musl' and the Debian package musl-tools" >&2
fi

cargo build --release --locked --package aiemp-node --bin aiemp-node --target "$target"
mkdir -p "$dist"
install -m 0755 "$target_dir/$target/release/aiemp-node" "$dist/aiemp-node"
(cd "$dist" && sha256sum aiemp-node >aiemp-node.sha256)

glibc=$(newest_glibc "$dist/aiemp-node")
if [ -z "$glibc" ]; then
    echo "$dist/aiemp-node: static, runs on any $arch Linux"
else
    echo "$dist/aiemp-node: needs glibc ${glibc#GLIBC_} or newer (Debian 11 has 2.31, Debian 12 2.36, Debian 13 2.41)"
fi
