(function () {
  "use strict";
  // What Celery calls success and is none, and what Flower knows no colour for.
  var colours = {
    REFUSED: "text-bg-warning", "NO-FIT": "text-bg-warning", UNFINISHED: "text-bg-warning",
    UNANSWERED: "text-bg-danger", ANSWERED: "text-bg-success", PROGRESS: "task-state-started"
  };
  function colour() {
    document.querySelectorAll(".tasks-table .badge, .detail-list .badge").forEach(function (badge) {
      var known = colours[badge.textContent.trim()];
      if (known) { badge.className = "badge " + known; }
    });
  }
  // An id is nothing to read: the column holds the way to the task's own page.
  function name() {
    document.querySelectorAll(".tasks-table .task-uuid-short").forEach(function (link) {
      link.textContent = "show";
    });
  }
  function press() {
    var match = /(?:^|\s)state:(\S+)(?:\s|$)/i.exec($("#tasks-table_filter input").val() || "");
    var state = match ? match[1].toUpperCase() : "";
    $(".task-state-filter").each(function () {
      var selected = $(this).data("task-state") === state;
      $(this).toggleClass("active", selected).attr("aria-pressed", selected);
    });
  }
  $(document).ready(function () {
    colour();
    $("#tasks-table").on("draw.dt", function () { colour(); name(); press(); });
  });

  // The page of the cluster renews itself while it is looked at; what was selected stays selected.
  var cluster = document.getElementById("cluster");
  function renew() {
    if (document.hidden || String(window.getSelection())) { return; }
    fetch(window.location.href, {credentials: "same-origin"}).then(function (answer) {
      if (!answer.ok) { throw new Error(answer.status); }
      return answer.text();
    }).then(function (text) {
      var page = new DOMParser().parseFromString(text, "text/html");
      cluster.innerHTML = page.getElementById("cluster").innerHTML;
      document.title = page.title;
    }).catch(function () {
      var written = document.querySelector("#verdict small");
      document.title = "No answer · carina-tasks";
      if (written) { written.textContent = "Flower does not answer: this is what it showed last"; }
    });
  }
  if (cluster) { setInterval(renew, 5000); }
}());
