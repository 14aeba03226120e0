// What a form changes is sent without leaving the page: where it cannot be done, the page stays and says why.

function refuse(form, words) {
  const said = document.createElement("p");
  said.className = "fault refused";
  said.setAttribute("role", "alert");
  said.textContent = words;
  form.querySelector(".refused")?.remove();
  form.append(said);
}

// The words of a page that says why something was refused.
function wordsOf(text) {
  const page = new DOMParser().parseFromString(text, "text/html");
  const said = [...page.querySelectorAll(".notice > p:not(:last-child), .notice > pre")].map((one) => one.textContent.trim());
  return said.join(" ") || "The server has refused it.";
}

async function send(form, button) {
  form.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(form.getAttribute("action"), { // a button is called so, too
      method: "POST", body: new URLSearchParams(new FormData(form, button)), headers: { Accept: "text/html" },
    });
    if (answer.ok) location.assign(answer.url);
    else refuse(form, wordsOf(await answer.text()));
  } catch {
    refuse(form, "The server does not answer: it may not have been done. Try again when the server is back.");
  } finally {
    form.removeAttribute("aria-busy");
  }
}

document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  event.preventDefault();
  if (!event.target.hasAttribute("aria-busy")) send(event.target, event.submitter);
});
