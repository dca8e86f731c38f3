// Shows what the sliders and the chosen cell say: colours and texts of the heatmap, its lines, and the curves.
// numbers: of each metric mean, low, high; counts: of each metric its seeds, then diverged and pending of the cells.
const about = JSON.parse(meta)
const cube = about.cubes[about.cubes.findIndex((one) => one.name === metric.value)]
const at = Object.fromEntries(Object.keys(about.axes).map((dim) => [dim, 0]))
const text = (dim, i) => about.axes[dim].texts[i]
const read = (value) => (Number.isFinite(value) ? String(Number(value.toPrecision(4))) : "–")
const said = (dims, kind) => dims.map((dim) => `${dim} = ${about.axes[dim][kind][at[dim]]}`)

// Where a cell lies in an array over some dimensions, rows last.
function offset(dims, index) {
  return dims.reduce((sum, dim) => sum * about.axes[dim].texts.length + index[dim], 0)
}

function cell(index) {
  const i = offset(cube.dims, index), j = about.state + offset(about.dims, index)
  const [mean, low, high] = [0, 1, 2].map((n) => numbers[cube.numbers + n * cube.size + i])
  const [seeds, diverged, pending] = [counts[cube.counts + i], counts[j], counts[j + about.cells]]
  let of = `${seeds} ${seeds === 1 ? "seed" : "seeds"}`
  if (diverged > 0) of += `, ${diverged} diverged`
  if (pending > 0) of += `, ${pending} pending`
  const interval = Number.isFinite(low) ? `95 % interval ${read(low)} to ${read(high)}` : "no interval"
  return {mean, low, high, value: `${cube.name} ${read(mean)}`, interval, seeds: of, diverged, pending}
}

about.free.forEach((dim, i) => {
  at[dim] = sliders[i].value
  sliders[i].visible = cube.dims.includes(dim)
})
scale.disabled = !(cube.least > 0)
const logarithmic = scale.active === 1 && cube.least > 0

// The heatmap. The mark is at the cell that was clicked last.
const x = about.x, y = about.y
if (x !== null) at[x] = mark.tags[0]
if (y !== null) {
  at[y] = mark.tags[1]
  const {mean, value, interval, seeds, place} = heat.data
  const bad = {left: [], right: [], bottom: [], top: []}
  const put = (source, i, j) => {
    const [a, b] = [about.axes[x].edges[i], about.axes[y].edges[j]]
    source.left.push(a[0])
    source.right.push(a[1])
    source.bottom.push(b[0])
    source.top.push(b[1])
    return source
  }
  const rest = said(about.free.filter((dim) => cube.dims.includes(dim)), "texts")
  const [across, up] = [about.axes[x].texts.length, about.axes[y].texts.length]
  for (let j = 0, k = 0; j < up; j++) {
    for (let i = 0; i < across; i++, k++) {
      const one = cell({...at, [x]: i, [y]: j})
      mean[k] = one.mean
      value[k] = one.value
      interval[k] = one.interval
      seeds[k] = one.seeds
      place[k] = [`${x} = ${text(x, i)}`, `${y} = ${text(y, j)}`, ...rest].join(", ")
      if (one.diverged > 0) put(bad, i, j)
    }
  }
  heat.change.emit()
  hatched.data = bad
  const mappers = [linear_colours, log_colours]
  mappers.forEach((mapper) => mapper.setv({low: cube.low, high: cube.high}))
  if (cube.least > 0) log_colours.low = cube.least
  const colour = {field: "mean", transform: mappers[Number(logarithmic)]}
  cells.setv({fill_color: colour, line_color: colour})
  bars[0].visible = !logarithmic
  bars[1].visible = logarithmic
  map.title.text = cube.label
  lines.forEach((source, i) => {
    const one = about.lines[i]
    const shown = one.metric === null || one.metric === cube.name
    const found = shown ? one.at[offset(one.dims, at)] : []
    source.data = {xs: found.map((line) => line[0]), ys: found.map((line) => line[1])}
  })
  mark.data = put({left: [], right: [], bottom: [], top: []}, at[x], at[y])
}

// The curves through the chosen cell.
const rest = Object.keys(at).filter((dim) => cube.dims.includes(dim) && about.axes[dim].texts.length > 1)
about.along.forEach((dim, n) => {
  const there = cube.dims.includes(dim)
  const found = {x: [], mean: [], low: [], high: [], value: [], interval: [], seeds: [], place: []}
  const band = {x: [], low: [], high: []}
  for (let k = 0; there && k < about.axes[dim].texts.length; k++) {
    const i = about.axes[dim].order[k], one = cell({...at, [dim]: i})
    found.x.push(about.axes[dim].places[i])
    for (const name of ["mean", "low", "high", "value", "interval", "seeds"]) found[name].push(one[name])
    found.place.push(`${dim} = ${text(dim, i)}`)
    if (!Number.isFinite(one.low)) continue
    band.x.push(about.axes[dim].places[i])
    band.low.push(logarithmic && one.low <= 0 ? cube.least / 10 : one.low)
    band.high.push(one.high)
  }
  points[n].data = found
  bands[n].data = band
  const others = said(rest.filter((other) => other !== dim), "short")
  const ends = [...found.mean, ...band.low, ...band.high].filter((v) => Number.isFinite(v) && (v > 0 || !logarithmic))
  const [least, most] = ends.length > 0 ? [Math.min(...ends), Math.max(...ends)] : [1, 2]
  const room = logarithmic ? Math.max((most / least) ** 0.05, 1.02) : Math.max((most - least) * 0.05, Math.abs(most) * 0.001, 1e-30)
  const [start, end] = logarithmic ? [least / room, most * room] : [least - room, most + room]
  curves[n].forEach((figure, log) => {
    figure.visible = along.active === n && logarithmic === (log === 1)
    figure.title.text = there ? others.join(", ") : `${cube.name} has no ${dim}`
    figure.left[0].axis_label = cube.label
    if (figure.visible) figure.y_range.setv({start, end, reset_start: start, reset_end: end})
  })
})
levels.forEach((span) => (span.visible = about.level_of === cube.name))
