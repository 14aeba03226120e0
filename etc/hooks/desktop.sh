#!/bin/sh
# Show an alert on the desktop of the user who runs the agent (`sidelog run` in a session, or a user unit).
#   hooks:
#     desktop: {exec: [/home/me/.config/sidelog/desktop.sh]}
# Needs jq and notify-send (Debian: libnotify-bin). A hook gets no environment of the session: the bus is found here.
set -eu
runtime=/run/user/$(id -u)
export XDG_RUNTIME_DIR="$runtime" DBUS_SESSION_BUS_ADDRESS="unix:path=$runtime/bus"
alert=$(cat)
urgency=normal
[ "$SIDELOG_SEVERITY" = critical ] && urgency=critical
[ "$SIDELOG_STATE" = resolved ] && urgency=low
title=$(printf '%s' "$alert" | jq -r '.summary')
# The body of a notification is markup.
body=$(printf '%s' "$alert" | jq -r '[.events[-3:][].body | split("\n")[0][:200] | @html] | join("\n")')
exec notify-send --app-name=sidelog --urgency="$urgency" -- "$title" "$body"
