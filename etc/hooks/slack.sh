#!/bin/sh
# Post an alert to a webhook that takes Slack's messages: Slack, Mattermost, Rocket.Chat, Discord (URL ending in /slack).
#   hooks:
#     chat: {exec: [/etc/sidelog/hooks/slack.sh, /etc/sidelog/slack-url], timeout: 15s}
# The file holds the webhook's URL and is readable by the agent's user alone. Needs jq and curl.
set -eu
url_file=${1:?the file with the URL of the webhook}
# The URL is a secret: curl reads it from a pipe, so that it never stands in the list of processes.
url=$(head -n 1 "$url_file") # ends here where it cannot be read, and says so
jq '
  def safe: gsub("&"; "&amp;") | gsub("<"; "&lt;") | gsub(">"; "&gt;");
  {text: ((if .state == "resolved" then ":white_check_mark:" else ":rotating_light:" end)
    + " *" + (.summary | safe) + "* on " + (.host | safe)
    + ([.groups[:3][] | "\n• \(.count) × " + (.title[:200] | safe)
        + (if .culprit then " (" + (.culprit[:100] | safe) + ")" else "" end)] | add // "")
    + ([.events[-3:][] | "\n> " + (.body | split("\n")[0][:300] | safe)] | add // "")
    + "\n`" + (.query | safe) + "`")}' |
  curl --silent --show-error --fail --max-time 10 --header 'Content-Type: application/json' --data-binary @- \
    --output /dev/null --config /dev/fd/3 3<<CONFIG
url = "$url"
CONFIG
