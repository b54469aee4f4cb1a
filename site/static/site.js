// The Tab key skips regions that have nothing to scroll, and a link into a closed section opens the section.

const regions = document.querySelectorAll(".scroll, pre[tabindex]");

function stops() {
  for (const region of regions) {
    const scrolls = region.scrollWidth > region.clientWidth || region.scrollHeight > region.clientHeight;
    if (scrolls) region.tabIndex = 0;
    else region.removeAttribute("tabindex");
  }
}

function reveal() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target) target.closest("details")?.setAttribute("open", "");
}

stops();
reveal();
addEventListener("resize", stops);
addEventListener("hashchange", reveal);
document.addEventListener("toggle", stops, true);
