#!/bin/sh
# The programs of other people that the bridge's clients are tried in.
#
#   install.sh quick   what installs in reasonable time
#   install.sh         all: Ardour and Blender too, which are large
#
# apt needs root. What cannot be had is left out and said; its tests skip, and say why: pytest -m hosts tests/hosts -rs
set -u
cd "$(dirname "$0")/../.." || exit
which_set=${1:-all}
case $which_set in
all | quick) ;;
*)
    echo "usage: $0 [all|quick]" >&2
    exit 2
    ;;
esac
export DEBIAN_FRONTEND=noninteractive
left_out=0

say() { printf '%-12s %s\n' "$1" "$2"; }

there() { PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null 2>&1 || [ -e "$1" ]; }

without() {
    left_out=$((left_out + 1))
    say "$1" "left out: $2; not run: $3"
}

# what it is called here; a program or file by which it is known to be there; its packages; what is tested with it
host() {
    if there "$2"; then
        say "$1" "is there"
        return
    fi
    if [ -n "$cannot" ]; then
        without "$1" "$cannot" "$4"
        return
    fi
    # shellcheck disable=SC2086  # several packages
    if why=$(apt-get install -y -qq --no-install-recommends $3 2>&1 >/dev/null); then
        say "$1" "installed"
    else # the first of apt's reasons: all of them fill pages
        without "$1" "$(printf '%s\n' "$why" | grep '^E:' | head -n 1 | grep . || echo 'apt-get failed')" "$4"
    fi
}

cannot=
if ! command -v apt-get >/dev/null; then
    cannot="this system has no apt-get"
elif [ "$(id -u)" != 0 ]; then
    cannot="installing it needs root"
elif ! apt-get update -qq; then
    cannot="apt-get update failed"
fi

host curl curl curl "REAPER's script, WebDAV by hand"
host lua lua5.4 lua5.4 "the REAPER script"
host lua5.3 lua5.3 lua5.3 "the REAPER script as older versions of REAPER run it"
host davfs2 mount.davfs "davfs2 fuse3" "the WebDAV folder as a mount"
host rclone rclone rclone "the WebDAV folder through rclone"
host cadaver cadaver cadaver "the WebDAV folder through cadaver"
host gcc gcc "gcc libc6-dev" "the LV2 plugin"
host make make make "the LV2 plugin"
host lv2 /usr/include/lv2/core/lv2.h lv2-dev "the LV2 plugin"
host sanitizers "$(gcc -print-file-name=libasan.so 2>/dev/null)" "libgcc-12-dev" "the LV2 plugin under sanitizers"
host jack jackd jackd2 "the LV2 plugin in jalv"
host jalv jalv jalv "the LV2 plugin in jalv"
host pd pd puredata-core "the Pure Data patch"
host godot godot3-server godot3-server "the Godot 3 add-on"
host screen Xvfb xvfb "everything with windows"
host mouse xdotool xdotool "everything with windows"
host windows openbox openbox "everything with windows"
host dbus dbus-run-session dbus-x11 "programs that want a session bus"
host audacity audacity audacity "drags from the shelf, the Audacity adapter"
host chromium chromium chromium "the web page, the hostile page"
if [ "$which_set" = all ]; then
    host ardour ardour ardour "the Ardour script, drags into Ardour, the LV2 plugin there"
    host blender blender "blender python3-numpy" "the Blender add-on"
fi

if [ -x .venv/bin/python ] && .venv/bin/python -m pip --version >/dev/null 2>&1; then
    pip=".venv/bin/python -m pip"
else
    pip="python3 -m pip --python .venv/bin/python"
fi
if $pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[hosts]'; then
    say python "the extra 'hosts' is installed"
else
    without python "pip could not install '.[hosts]'" "the page, the shelf, jalv, the Godot 4 scripts"
fi
[ "$left_out" = 0 ] || echo "$left_out left out; their tests skip"
