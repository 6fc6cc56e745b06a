import fc from 'fast-check'
import sharp from 'sharp'
import { describe, expect, test } from 'vitest'

import { createScale, rangeOf } from '../../plots/axis.ts'
import { paretoFront } from '../../search-space/index.ts'
import { pngOf } from '../../plots/png.ts'
import { type ScatterPlot, scatterSvg } from '../../plots/scatter.ts'

const numbers = (pattern: RegExp, text: string) => [...text.matchAll(pattern)].map((match) => match.slice(1).map(Number))

/** Value to pixel, read off the ticks that a person would read it off. */
function readAxes(svg: string) {
  const ticks = (axis: 'x' | 'y') =>
    [...svg.matchAll(new RegExp(`<text x="([\\d.]+)" y="([\\d.]+)" class="${axis}-tick"[^>]*>([^<]+)<`, 'g'))].map(([, x, y, text]) => ({
      pixel: Number(axis === 'x' ? x : y),
      value: Number(text),
    }))
  const along = (axis: 'x' | 'y') => {
    const all = ticks(axis)
    const [first, last] = [all[0], all.at(-1)]
    if (!first || !last) throw new Error(`no ticks on ${axis}`)
    return (value: number) => first.pixel + ((value - first.value) / (last.value - first.value)) * (last.pixel - first.pixel)
  }
  return { x: along('x'), y: along('y'), ticks }
}

function pointsOf(svg: string, series: string): number[][] {
  const group = svg.split(`data-name="${series}">`)[1]?.split('\n</g>')[0] ?? ''
  return numbers(/class="point"[^>]*translate\(([-\d.]+) ([-\d.]+)\)/g, group)
}

const plot: ScatterPlot = {
  title: 'a < b & c',
  x: { label: 'predicted, ms' },
  y: { label: 'measured, ms' },
  series: [
    {
      name: 'first',
      points: [
        { x: 1.3, y: 20 },
        { x: 4.75, y: 31.5, xError: 0.5, yError: 2, label: 'mb3k5', title: 'fashion-mini:mb3k5' },
      ],
    },
    {
      name: 'second',
      points: [
        { x: 2, y: 25 },
        { x: Number.NaN, y: 1 },
      ],
    },
  ],
}

describe('a scatter plot', () => {
  test('has every point where the ticks say, and none that is not finite', () => {
    const svg = scatterSvg(plot)
    const { x, y } = readAxes(svg)
    for (const { name, points } of plot.series) {
      const drawable = points.filter((point) => Number.isFinite(point.x))
      const found = pointsOf(svg, name)
      expect(found).toHaveLength(drawable.length)
      for (const [index, point] of drawable.entries()) {
        expect(found[index]?.[0]).toBeCloseTo(x(point.x), 0)
        expect(found[index]?.[1]).toBeCloseTo(y(point.y), 0)
      }
    }
  })

  test('grows upwards and to the right', () => {
    const [low, high] = pointsOf(scatterSvg(plot), 'first')
    expect(high?.[0]).toBeGreaterThan(low?.[0] ?? Number.NaN)
    expect(high?.[1]).toBeLessThan(low?.[1] ?? Number.NaN)
  })

  test('draws error bars from one end to the other', () => {
    const svg = scatterSvg(plot)
    const { x, y } = readAxes(svg)
    const [bar = ''] = [...svg.matchAll(/class="error" d="([^"]+)"/g)].map(([, path]) => path as string)
    const [, horizontalFrom, horizontalTo] = (/^M([\d.]+) [\d.]+v.*?H([\d.]+)/.exec(bar) ?? []).map(Number)
    expect(horizontalFrom).toBeCloseTo(x(4.25), 0)
    expect(horizontalTo).toBeCloseTo(x(5.25), 0)
    const [, verticalFrom, verticalTo] = (/M[\d.]+ ([\d.]+)h.*V([\d.]+)/.exec(bar) ?? []).map(Number)
    expect(verticalFrom).toBeCloseTo(y(29.5), 0)
    expect(verticalTo).toBeCloseTo(y(33.5), 0)
  })

  test('names its axes, series and points; text from elsewhere stays text', () => {
    const svg = scatterSvg({ ...plot, series: [{ name: '<script>', points: [{ x: 1, y: 1, title: '"&"' }] }] })
    for (const part of ['predicted, ms', 'measured, ms', 'a &lt; b &amp; c', '&lt;script&gt;', '&quot;&amp;&quot;'])
      expect(svg).toContain(part)
    expect(svg).not.toContain('<script>')
    expect(scatterSvg(plot)).toMatch(/class="label"[^>]*>mb3k5</)
  })

  test('with the identity has the same range on both axes, and the line from corner to corner', () => {
    const svg = scatterSvg({ ...plot, identity: { name: 'equal' } })
    const { x, y, ticks } = readAxes(svg)
    expect(ticks('x').map(({ value }) => value)).toEqual(ticks('y').map(({ value }) => value))
    const [from, to] = numbers(/[ML]([\d.]+) ([\d.]+)/g, /class="line" d="([^"]+)"/.exec(svg)?.[1] ?? '')
    const middle = 15
    const share = (x(middle) - (from?.[0] ?? 0)) / ((to?.[0] ?? 0) - (from?.[0] ?? 0))
    expect(y(middle)).toBeCloseTo((from?.[1] ?? 0) + share * ((to?.[1] ?? 0) - (from?.[1] ?? 0)), 0)
  })

  test('draws the points of a cloud as dots of one path, where the ticks say', () => {
    const points = [
      { x: 1.5, y: 20 },
      { x: 4, y: 30, title: 'not shown' },
      { x: 2, y: Number.NaN },
    ]
    const svg = scatterSvg({ ...plot, series: [...plot.series, { name: 'cloud', points, isCloud: true }] })
    const { x, y } = readAxes(svg)
    const dots = numbers(/M([\d.]+) ([\d.]+)h2v2h-2z/g, /class="cloud" d="([^"]+)"/.exec(svg)?.[1] ?? '')
    expect(dots).toHaveLength(2)
    for (const [index, [left = 0, top = 0]] of dots.entries()) {
      expect(left + 1).toBeCloseTo(x(points[index]?.x ?? 0), 0)
      expect(top + 1).toBeCloseTo(y(points[index]?.y ?? 0), 0)
    }
    expect(pointsOf(svg, 'cloud')).toEqual([])
    expect(svg).not.toContain('not shown')
  })

  test('draws the front of a series as steps through the points that no other beats', () => {
    const points = [
      { x: 1, y: 80 },
      { x: 2, y: 85 },
      { x: 3, y: 84 },
      { x: 4, y: 90 },
    ]
    const svg = scatterSvg({ ...plot, series: [{ name: 's', points, front: { x: 'low', y: 'high' } }] })
    const { x, y } = readAxes(svg)
    const path = /class="front" d="([^"]+)"/.exec(svg)?.[1] ?? ''
    const [, ...found] = (/^M([\d.]+) ([\d.]+)H([\d.]+)V([\d.]+)H([\d.]+)V([\d.]+)$/.exec(path) ?? []).map(Number)
    const expected = [x(1), y(80), x(2), y(85), x(4), y(90)]
    for (const [index, value] of expected.entries()) expect(found[index]).toBeCloseTo(value, 0)
  })

  test('of nothing is a frame', () => {
    expect(scatterSvg({ x: { label: 'x' }, y: { label: 'y' }, series: [] })).toContain('</svg>')
  })
})

test('ticks are round numbers within the range, three to nine of them', () => {
  const value = fc.double({ min: -1e6, max: 1e6, noNaN: true, noDefaultInfinity: true })
  fc.assert(
    fc.property(value, fc.double({ min: 1e-3, max: 1e6, noNaN: true }), (low, width) => {
      const { ticks, place } = createScale([low, low + width], 100, 500)
      expect(ticks.length).toBeGreaterThanOrEqual(3)
      expect(ticks.length).toBeLessThanOrEqual(9)
      for (const tick of ticks) {
        expect(place(tick.value)).toBeGreaterThanOrEqual(100 - 1e-3)
        expect(place(tick.value)).toBeLessThanOrEqual(500 + 1e-3)
        expect(Math.abs(Number(tick.text) - tick.value)).toBeLessThan(width * 1e-3)
      }
    }),
  )
})

test('a range holds its values, and starts at 0 rather than below where no value is', () => {
  expect(rangeOf([])).toEqual([0, 1])
  expect(rangeOf([5])).toEqual([4.5, 5.5])
  expect(rangeOf([0, 10])).toEqual([0, 10.5])
  expect(rangeOf([-10, 10])).toEqual([-11, 11])
})

describe('a Pareto front', () => {
  const points = fc.array(fc.record({ x: fc.integer({ min: 0, max: 20 }), y: fc.integer({ min: 0, max: 20 }) }))
  test('has the points that none beats, in order, each place once', () => {
    fc.assert(
      fc.property(points, (all) => {
        const front = paretoFront(all, { x: 'low', y: 'high' })
        const isBeaten = (point: { x: number; y: number }) =>
          all.some((other) => other.x <= point.x && other.y >= point.y && (other.x < point.x || other.y > point.y))
        const expected = new Set(all.filter((point) => !isBeaten(point)).map(({ x, y }) => `${x} ${y}`))
        expect(front.map(({ x, y }) => `${x} ${y}`).toSorted()).toEqual([...expected].toSorted())
        expect(front.map(({ x }) => x)).toEqual(front.map(({ x }) => x).toSorted((a, b) => a - b))
      }),
    )
  })

  test('in the other directions', () => {
    const all = [
      { x: 1, y: 1 },
      { x: 2, y: 2 },
      { x: 3, y: 3 },
    ]
    expect(paretoFront(all, { x: 'high', y: 'high' })).toEqual([{ x: 3, y: 3 }])
    expect(paretoFront(all, { x: 'high', y: 'low' })).toEqual(all)
    expect(paretoFront(all, { x: 'low', y: 'low' })).toEqual([{ x: 1, y: 1 }])
  })
})

test('a PNG has the plot’s size times the scale, a clear background, and ink where a point is', async () => {
  const svg = scatterSvg({ ...plot, width: 400, height: 300 })
  const [[left = 0, top = 0] = []] = pointsOf(svg, 'second')
  for (const scale of [1, 2]) {
    const { data, info } = await sharp(await pngOf(svg, scale))
      .ensureAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true })
    expect([info.width, info.height]).toEqual([400 * scale, 300 * scale])
    const pixel = (x: number, y: number) => [...data.subarray((y * info.width + x) * 4, (y * info.width + x) * 4 + 4)]
    expect(pixel(0, 0)[3]).toBe(0)
    expect(pixel(Math.round(left * scale), Math.round(top * scale))[3]).toBeGreaterThan(150)
  }
})
