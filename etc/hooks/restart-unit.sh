#!/bin/sh
# Restart a systemd unit when an alert fires; not when it repeats or is resolved.
#   hooks:
#     restart-shop: {exec: [/etc/sidelog/hooks/restart-unit.sh, shop.service], timeout: 2m, retries: 1}
# Give the rule a long `repeat` and a `for`: a restart every minute heals nothing. The agent's user must be allowed to
# do this, by a polkit rule for this one unit:
#   polkit.addRule(function(action, subject) {
#     if (action.id == "org.freedesktop.systemd1.manage-units" && subject.user == "sidelog"
#         && action.lookup("unit") == "shop.service" && action.lookup("verb") == "restart") return polkit.Result.YES;
#   });
set -eu
unit=${1:?the unit to restart}
cat >/dev/null
[ "$SIDELOG_STATE" = firing ] || exit 0
exec systemctl --no-ask-password restart -- "$unit"
