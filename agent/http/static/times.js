// Times of events: local ones of the browser, or how long ago they are.
const UNITS = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]];
let relative = false;

function two(number, digits = 2) {
  return String(number).padStart(digits, "0");
}

export function localTime(iso, digits = 3) {
  const when = new Date(iso);
  if (Number.isNaN(when.getTime())) return iso;
  const day = `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())}`;
  const clock = `${day} ${two(when.getHours())}:${two(when.getMinutes())}:${two(when.getSeconds())}`;
  return digits ? `${clock}.${two(when.getMilliseconds(), 3)}` : clock;
}

function ago(iso) {
  const seconds = Math.round((Date.now() - new Date(iso)) / 1000);
  const [length, unit] = UNITS.find(([length]) => Math.abs(seconds) >= length) ?? [1, "s"];
  const count = Math.floor(Math.abs(seconds) / length);
  return seconds < 0 ? `in ${count} ${unit}` : `${count} ${unit} ago`;
}

// Write the times below a node as they are wanted; what was drawn with fractions of seconds keeps them.
export function writeTimes(root = document) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.dataset.digits ??= time.textContent.includes(".") ? 3 : 0;
    const absolute = localTime(time.dateTime, Number(time.dataset.digits));
    const written = relative && !time.closest(".axis") ? ago(time.dateTime) : absolute;
    if (time.textContent !== written) time.textContent = written;
    time.title = `${absolute} (${time.dateTime})`;
  }
}

export function setRelative(wanted) {
  relative = wanted;
  writeTimes();
}

// Write the times of a report, which are not of events.
export function localize(within) {
  for (const time of within.querySelectorAll("time.when")) {
    const written = localTime(time.dateTime, 0);
    time.textContent = time.classList.contains("brief") ? written.slice(0, 16) : written;
    time.title = time.dateTime;
  }
}
