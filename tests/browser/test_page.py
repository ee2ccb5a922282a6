"""The report's page in a real browser: it draws, zooms, finds, and fetches nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.browser.conftest import Show, Shown
from tests.runs import made_up

# The browser outlives a test: it takes a second to start.
pytestmark = pytest.mark.leaks("one browser for all tests of this module")

# Which share of the lanes' pixels, beside the labels and the axis, is nearest to a colour of
# what is inside a function: edges are mixed with what is beside them.
COMPUTED = """(() => {
  const canvas = document.getElementById("lanes");
  const pen = canvas.getContext("2d");
  const ratio = canvas.width / canvas.clientWidth;
  const { data } = pen.getImageData(80 * ratio, 26, canvas.width - 90 * ratio, canvas.height - 28);
  const style = getComputedStyle(canvas);
  const colours = ["running", "track", "panel", "decode", "encode", "startup", "lost", "pausing", "wanting", "importing"].map((name) => {
    const hex = style.getPropertyValue(`--${name}`).trim();
    return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  });
  const inside = [0, 7, 8];
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    const seen = data[i + 3] ? [data[i], data[i + 1], data[i + 2]] : colours[2];
    const far = colours.map((rgb) => rgb.reduce((sum, value, at) => sum + (value - seen[at]) ** 2, 0));
    const best = Math.min(...far);
    if (inside.some((at) => far[at] === best)) count++;
  }
  return count / (data.length / 4);
})()"""
WIDE = "onecopy.lanes.view[1] - onecopy.lanes.view[0]"


def painted(shown: Shown) -> float:
    """The share of the lanes that has a colour of what is inside functions, once it is painted."""
    shown.page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)))")
    return shown.number(COMPUTED)


def test_it_opens_and_draws_and_fetches_nothing(show: Show) -> None:
    run = made_up(2000, 4)
    shown = show(run)
    parts = run.accounting()
    assert painted(shown) == pytest.approx(0.8 * parts.compute / parts.total, abs=0.12)
    assert shown.complaints == []
    assert [url for url in shown.requests if not url.startswith("file:")] == []
    assert len(shown.requests) == 1
    assert shown.page.locator(".uplot canvas").count() == 1


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_themes(show: Show, theme: str) -> None:
    shown = show(made_up(500), theme=theme)
    before = painted(shown)
    ground = "getComputedStyle(document.body).backgroundColor"
    first = shown.page.evaluate(ground)
    shown.page.click("#theme")
    assert shown.page.evaluate(ground) != first
    assert painted(shown) == pytest.approx(before, abs=0.08), "in the other theme's colour"


def test_zoom_and_pan_by_mouse_and_keys(show: Show) -> None:
    shown = show(made_up(50_000, 4, mean_ms=0.5))
    page = shown.page
    whole = shown.number(WIDE)
    box = page.locator("#lanes").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    page.mouse.wheel(0, -400)
    page.wait_for_timeout(50)
    assert shown.number(WIDE) == whole, "the wheel is the page's until the lanes have the focus"
    page.focus("#lanes")
    for _ in range(5):
        page.mouse.wheel(0, -400)
    page.wait_for_timeout(50)
    near = shown.number(WIDE)
    assert near < whole / 20
    start = shown.number("onecopy.lanes.view[0]")
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 200, box["y"] + 40)
    page.mouse.up()
    assert shown.number("onecopy.lanes.view[0]") < start, "dragged to the right"
    page.focus("#lanes")
    start = shown.number("onecopy.lanes.view[0]")
    page.keyboard.press("ArrowRight")
    assert shown.number("onecopy.lanes.view[0]") > start
    page.keyboard.press("+")
    assert shown.number(WIDE) == pytest.approx(0.6 * near, rel=0.01)
    assert painted(shown) > 0.5
    page.keyboard.press("0")
    assert shown.number(WIDE) == whole
    page.keyboard.press(".")
    assert "in its function for" in page.inner_text("#live")


def test_what_a_column_shows_is_the_same_near_and_far(show: Show) -> None:
    """Items drawn one by one and columns of sums agree on how much was computed."""
    shown = show(made_up(20_000, 1, mean_ms=0.5))
    far = painted(shown)
    shown.page.focus("#lanes")
    shown.page.evaluate("onecopy.lanes.show(onecopy.run.wall * 0.4, onecopy.run.wall * 0.5)")
    near = painted(shown)
    assert near == pytest.approx(far, abs=0.12)


def test_finding_a_task(show: Show) -> None:
    run = made_up(3000, 4)
    shown = show(run)
    page = shown.page
    page.fill("#search", "parse")
    found = int((run.spans["function"] == 0).sum())
    page.wait_for_selector(f'#found:text("{found:,} found")')
    page.fill("#search", "1234")
    page.wait_for_selector('#found:text("1 found")')
    page.press("#search", "Enter")
    page.wait_for_selector('#found:text("1 of 1")')
    assert shown.number("onecopy.spans.task[onecopy.lanes.selected]") == 1234
    assert "number 1234" in page.inner_text("#live")
    assert shown.number(WIDE) < run.wall * 1e9 / 5, "it is seen close"


def test_hovering_tells_of_the_task(show: Show) -> None:
    shown = show(made_up(40, 2, mean_ms=20))
    box = shown.page.locator("#lanes").bounding_box()
    assert box is not None
    shown.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 35)
    shown.page.wait_for_selector("#tip", state="visible")
    said = shown.page.inner_text("#tip")
    for text in ("pipeline.", "in your function", "CPU", "moved"):
        assert text in said
    shown.page.mouse.move(5, 5)
    shown.page.wait_for_selector("#tip", state="hidden")


def test_a_slow_task_leads_to_its_place(show: Show) -> None:
    shown = show(made_up(3000, 4))
    shown.page.click("tr[data-span] >> nth=0")
    assert shown.number("onecopy.lanes.selected") >= 0
    longest = shown.number("Math.max(...onecopy.spans.compute)")
    assert shown.number("onecopy.spans.compute[onecopy.lanes.selected]") == longest


def test_hostile_names_do_nothing(show: Show) -> None:
    name = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
    shown = show(made_up(100, functions=(name, "a.<lambda>")))
    box = shown.page.locator("#lanes").bounding_box()
    assert box is not None
    shown.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 35)
    shown.page.wait_for_selector("#tip", state="visible")
    assert shown.page.evaluate("window.hacked === undefined")
    assert shown.complaints == []


def test_rss_comes_with_its_warning(show: Show) -> None:
    shown = show(made_up(100))
    assert shown.page.locator("#rss").is_hidden()
    shown.page.select_option("#kind", "rss")
    assert "must not be added up" in shown.page.inner_text("#rss")
    assert shown.complaints == []


def test_without_scripts_and_on_a_phone(show: Show) -> None:
    shown = show(made_up(100, lost=1), scripts=False)
    assert "were lost with their workers" in shown.page.inner_text("main")
    assert shown.page.locator("#lanes").is_hidden()
    narrow = show(made_up(100), width=400)
    assert narrow.number("document.documentElement.scrollWidth") <= 400


@pytest.mark.parametrize(("tasks", "workers"), [(0, 1), (1, 1), (5, 64)])
def test_very_little(show: Show, tasks: int, workers: int) -> None:
    shown = show(made_up(tasks, workers))
    shown.page.focus("#lanes")
    for key in ("+", ".", "Enter", "0"):
        shown.page.keyboard.press(key)
    assert shown.complaints == []


def test_memory_has_the_lanes_axis_and_cursor(show: Show) -> None:
    shown = show(made_up(3000, 4))
    page = shown.page
    shown.page.evaluate("onecopy.lanes.show(onecopy.run.wall * 0.4, onecopy.run.wall * 0.5)")
    seconds = shown.number("onecopy.run.wall") / 1e9
    assert shown.number("onecopy.chart.chart.scales.x.min") == pytest.approx(0.4 * seconds)
    assert shown.number("onecopy.chart.chart.scales.x.max") == pytest.approx(0.5 * seconds)
    plot = page.locator(".u-over").bounding_box()
    lanes = page.locator("#lanes").bounding_box()
    assert plot is not None
    assert lanes is not None
    assert plot["x"] == pytest.approx(lanes["x"] + 76, abs=2), "they stand below one another"
    assert plot["width"] == pytest.approx(lanes["width"] - 84, abs=3)
    most = page.inner_text("#processes")
    assert "main process" in most
    assert "at most" in most
    page.mouse.move(lanes["x"] + lanes["width"] / 2, lanes["y"] + 40)
    page.wait_for_function("!document.getElementById('processes').innerText.includes('most')")
    assert shown.number("onecopy.lanes.cursor") > 0
    page.mouse.move(plot["x"] + plot["width"] / 4, plot["y"] + 40)
    page.wait_for_function("onecopy.lanes.cursor < onecopy.run.wall * 0.43")
    assert shown.complaints == []


def test_the_card_does_not_cover_the_lanes(show: Show) -> None:
    shown = show(made_up(400, 4))
    box = shown.page.locator("#lanes").bounding_box()
    assert box is not None
    shown.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 35)
    shown.page.wait_for_selector("#tip", state="visible")
    card = shown.page.locator("#tip").bounding_box()
    assert card is not None
    assert card["y"] >= box["y"] + box["height"] or card["y"] + card["height"] <= box["y"]
    shown.page.fill("#search", "parse")
    shown.page.wait_for_selector("#found:text('found')")
    shown.page.press("#search", "Enter")
    shown.page.wait_for_selector("#tip", state="hidden")


def test_columns_sort(show: Show) -> None:
    page = show(made_up(300, 2)).page
    table = page.locator("table.sorts").last
    worker = "table => [...table.rows].slice(1).map(row => Number(row.cells[3].textContent))"
    took = "table => [...table.rows].slice(1).map(row => Number(row.cells[5].dataset.key))"
    table.locator("th", has_text="worker").click()
    numbers = table.evaluate(worker)
    assert numbers == sorted(numbers, reverse=True)
    table.locator("th", has_text="worker").click()
    assert table.evaluate(worker) == sorted(numbers)
    table.locator("th", has_text="took").click()
    times = table.evaluate(took)
    assert times == sorted(times, reverse=True)
    assert len(times) == 15


def test_a_flame_graph_goes_into_its_boxes(show: Show) -> None:
    stacks = (
        ("work", (("work", "a.py", 1), ("<img src=x>", "b.py", 2)), 3 * 10**9),
        ("work", (("work", "a.py", 4),), 10**9),
    )
    shown = show(replace(made_up(30), profile=stacks))
    page = shown.page
    assert page.locator("#flame button").count() == 5, "all, work, two lines, what one calls"
    box = page.locator("#flame button", has_text="work (a.py:1)")
    narrow = box.bounding_box()
    box.click()
    wide = page.locator("#flame button", has_text="work (a.py:1)").bounding_box()
    assert narrow is not None
    assert wide is not None
    assert narrow["width"] == pytest.approx(0.75 * wide["width"], rel=0.02)
    page.locator("#flame button", has_text="all").click()
    assert page.locator("#flame button").count() == 5
    assert "a.py:1" in page.inner_text("main")
    assert shown.complaints == []
