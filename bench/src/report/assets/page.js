// Draws the charts of the element "charts" into the elements with their names.
"use strict";
(() => {
  const HEIGHT = 340;
  const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 5], [14, 4], [1, 4], [8, 2, 2, 2]];
  const GROUP_WIDTH = 0.8; // of a category, the bars of all series together
  const LABEL_WIDTH_MIN = 26; // pixels of a bar that has room for its number

  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colour = (number) => style(`--colour-${number % 10}`);

  // The same form as in the tables: three digits that matter.
  const format = (value) => {
    if (value == null) return "–";
    const size = Math.abs(value);
    if (size === 0) return "0";
    if (size >= 99.95) return Math.round(value).toLocaleString("en").replaceAll(",", "\u202f");
    if (size >= 0.995) return value.toFixed(size >= 9.995 ? 1 : 2);
    return String(Number(value.toPrecision(3)));
  };
  const tick = (value) => (value == null ? "" : Math.abs(value) >= 1e6 ? `${format(value / 1e6)} M` : String(
    Math.abs(value) >= 1000 ? format(value) : Number(value.toPrecision(6))));

  const barWidth = (chart) => GROUP_WIDTH / chart.series.length;
  const barLeft = (chart, place, number) => place - GROUP_WIDTH / 2 + number * barWidth(chart);

  // How a series is drawn.
  const paths = (chart, number) => {
    if (chart.form === "bars") {
      return uPlot.paths.bars({
        disp: {
          x0: { values: () => chart.xs.map((place) => barLeft(chart, place, number)) },
          size: { values: () => chart.xs.map(() => barWidth(chart) * 0.92) },
        },
      });
    }
    return chart.form === "steps" ? uPlot.paths.stepped({ align: -1 }) : uPlot.paths.linear();
  };

  const seriesOf = (chart) => chart.series.map((series, number) => {
    const isBars = chart.form === "bars";
    return {
      label: series.name,
      value: (_, value) => format(value),
      stroke: () => colour(series.colour),
      fill: isBars ? () => colour(series.colour) : undefined,
      width: isBars ? 0 : 2,
      dash: isBars ? undefined : DASHES[series.colour % DASHES.length],
      points: { show: !isBars, size: chart.form === "steps" ? 3 : 7, fill: () => colour(series.colour) },
      spanGaps: chart.form === "lines",
      paths: paths(chart, number),
    };
  });

  // Writes each bar's number above it, where there is room.
  const labelBars = (chart) => (plot) => {
    if (chart.form !== "bars") return;
    const ratio = devicePixelRatio;
    const width = plot.valToPos(barWidth(chart), "x", true) - plot.valToPos(0, "x", true);
    if (width < LABEL_WIDTH_MIN * ratio) return;
    const context = plot.ctx;
    context.save();
    context.fillStyle = style("--ink");
    context.font = `${11 * ratio}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "bottom";
    chart.series.forEach((series, number) => {
      if (!plot.series[number + 1].show) return;
      series.values.forEach((value, place) => {
        if (value == null) return;
        const x = plot.valToPos(barLeft(chart, place, number) + barWidth(chart) * 0.46, "x", true);
        context.fillText(value >= 10000 ? `${Math.round(value / 1000)} k` : format(value), x,
          plot.valToPos(value, "y", true) - 2 * ratio);
      });
    });
    context.restore();
  };

  const axisOf = (axis, isVertical) => ({
    label: axis.categories ? null : axis.label,
    labelSize: 22,
    size: isVertical ? 66 : 42,
    stroke: () => style("--faint"),
    grid: { stroke: () => style("--grid"), width: 1, show: isVertical || !axis.categories },
    ticks: { stroke: () => style("--rule"), width: 1, show: !axis.categories },
    space: axis.categories ? 10 : isVertical ? 34 : 80,
    splits: axis.categories ? () => axis.categories.map((_, place) => place) : undefined,
    values: axis.categories
      ? (_, places) => places.map((place) => axis.categories[place] ?? "")
      : (_, values) => values.map(tick),
  });

  const draw = (chart) => {
    const element = document.getElementById(chart.id);
    const isBars = chart.form === "bars";
    const x = isBars
      ? { time: false, range: () => [-0.5, chart.xs.length - 0.5] }
      : { time: false, distr: chart.x.log ? 3 : 1 };
    if (!isBars && !chart.x.log) {
      const last = chart.xs.at(-1) ?? 1;
      x.range = () => [0, last * 1.05 || 1];
    }
    const y = chart.y.log ? { distr: 3 } : { range: (_, __, max) => [0, (max || 1) * 1.12] };
    const options = {
      width: Math.max(element.clientWidth, 280),
      height: HEIGHT,
      scales: { x, y },
      axes: [axisOf(chart.x, false), axisOf(chart.y, true)],
      series: [{
        label: chart.x.label,
        value: (_, value) => (value == null ? "–" : chart.x.categories?.[value] ?? format(value)),
      }, ...seriesOf(chart)],
      cursor: { drag: { x: false, y: false }, points: { show: !isBars } },
      hooks: { draw: [labelBars(chart)] },
    };
    const plot = new uPlot(options, [chart.xs, ...chart.series.map((series) => series.values)], element);
    new ResizeObserver(() => {
      const width = Math.max(element.clientWidth, 280);
      if (width !== plot.width) plot.setSize({ width, height: HEIGHT });
    }).observe(element);
    return plot;
  };

  const charts = JSON.parse(document.getElementById("charts").textContent);
  const plots = new Map(charts.map((chart) => [chart.id, draw(chart)]));
  globalThis.reportCharts = plots;

  // Colours are read anew whenever they change; on paper they are those of the light page.
  const redraw = () => plots.forEach((plot) => plot.redraw(false, true));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("beforeprint", () => {
    document.documentElement.dataset.theme = "light";
    redraw();
  });
  addEventListener("afterprint", () => {
    delete document.documentElement.dataset.theme;
    redraw();
  });
})();
