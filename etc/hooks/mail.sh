#!/bin/sh
# Mail an alert with the lines in it, by sendmail (postfix, exim, msmtp, nullmailer: all of them have one).
#   hooks:
#     mail: {exec: [/etc/sidelog/hooks/mail.sh, admin@example.com], timeout: 30s}
# Needs jq and sendmail. Nothing of the alert is evaluated: jq writes texts, the shell only joins them.
set -eu
to=${1:?the address to send to}
alert=$(cat)
line() { printf '%s' "$alert" | jq -r "$1" | tr -d '\r' | tr '\n' ' ' | cut -c1-200; }
{
  printf 'To: %s\n' "$to"
  # The same for all mails of one alert, so that a mail program shows them as one conversation.
  printf 'Subject: =?UTF-8?B?%s?=\n' "$(line '"[\(.severity)] \(.summary)"' | base64 -w0)"
  printf 'Message-ID: <%s@%s>\n' "$SIDELOG_DELIVERY_ID" "$(line .host | tr -cd 'A-Za-z0-9.-')"
  printf 'Auto-Submitted: auto-generated\nMIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n'
  printf 'Content-Transfer-Encoding: 8bit\n\n'
  printf '%s' "$alert" | jq -r '
    "\(.summary)\n\nhost      \(.host)\nstarted   \(.started_at)",
    (if .ended_at then "ended     \(.ended_at)" else empty end),
    "\nThe events:\n  \(.query)\n",
    (if (.groups | length) > 0 then "Errors:" else empty end),
    (.groups[] | "  \(.count) × \(.title)\(if .culprit then " (\(.culprit))" else "" end)"),
    (if (.events | length) > 0 then "\nLast lines:" else empty end),
    (.events[] | "  \(.timestamp) \(.severity_text // "-") \(.source): \(.body)")'
} | sendmail -i -t
