// A device whose speed is a function of the time it has worked: what is measured while it is hot must not count.

import { describe, expect, it } from 'vitest'
import type { Subject } from '../../latency-lut/profiler/measuring.ts'
import { createThrottleWatch, steadyRound, TOLERATED_SLOWDOWN } from '../../latency-lut/profiler/throttling.ts'

/** Operation k takes k + 1 ms times `slowdownAt(busy ms)`; the reference takes 2 ms times that. */
function makeDevice(count: number, slowdownAt: (busyMs: number) => number) {
  let busyMs = 0
  const run = (ms: number) => {
    const tookMs = ms * slowdownAt(busyMs)
    busyMs += tookMs
    return tookMs
  }
  const subjects = Array.from({ length: count }, (_, index): Subject => ({ sample: () => Promise.resolve(run(index + 1)) }))
  return { subjects, reference: () => Promise.resolve(run(2)), spentMs: () => busyMs, rest: (ms: number) => void (busyMs += ms) }
}

/** Busy times between which the device of a test is hot. */
const HOT_FROM_MS = 20
const HOT_TO_MS = 200

const steady = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

describe('the watch', () => {
  it('says nothing before it has seen five looks', () => {
    const watch = createThrottleWatch()
    expect([10, 20, 40, 80].map((ms) => watch.observe(ms).slowdown)).toEqual([1, 1, 1, 1])
  })

  it('is not moved by a single slow look, and sees a lasting slowdown', () => {
    const watch = createThrottleWatch()
    for (let look = 0; look < 5; look++) watch.observe(10)
    expect(watch.observe(50)).toEqual({ slowdown: 1, isSuspect: true })
    expect(watch.observe(10)).toEqual({ slowdown: 1, isSuspect: false })
    watch.observe(20)
    watch.observe(20)
    expect(watch.observe(20).slowdown).toBe(2)
  })

  it('takes the best speed for the normal one: a device that warms up gets faster', () => {
    const watch = createThrottleWatch()
    for (let look = 0; look < 5; look++) watch.observe(20)
    for (let look = 0; look < 5; look++) watch.observe(10)
    for (let look = 0; look < 3; look++) watch.observe(16)
    expect(watch.observe(16).slowdown).toBeCloseTo(1.6, 9)
  })

  it('measures from the present speed on once that is accepted', () => {
    const watch = createThrottleWatch()
    for (let look = 0; look < 5; look++) watch.observe(10)
    for (let look = 0; look < 3; look++) watch.observe(20)
    expect(watch.isSlow()).toBe(false)
    watch.accept()
    expect(watch.isSlow()).toBe(true)
    expect(watch.observe(20).slowdown).toBe(1)
    for (let look = 0; look < 3; look++) watch.observe(40)
    expect(watch.observe(40).slowdown).toBe(2)
  })

  it('knows when a device whose slowness was accepted has recovered', () => {
    const watch = createThrottleWatch()
    for (let look = 0; look < 5; look++) watch.observe(10)
    for (let look = 0; look < 3; look++) watch.observe(20)
    watch.accept()
    for (let look = 0; look < 5; look++) watch.observe(11)
    expect(watch.isSlow()).toBe(false)
  })
})

describe('a round', () => {
  const order = [3, 0, 9, 5, 1, 8, 2, 7, 4, 6]

  it('of a steady device measures every operation once', async () => {
    const device = makeDevice(10, () => 1)
    const cool = () => Promise.reject(new Error('expected no pause'))
    const round = await steadyRound({ ...device, order, watch: createThrottleWatch(), lookMs: 5, cool })
    expect(round).toEqual({ samples: steady(10), repeated: 0 })
  })

  it('measures again what it measured while the device was hot', async () => {
    const watch = createThrottleWatch()
    for (let look = 0; look < 5; look++) watch.observe(2)
    // A pause lets it cool.
    const device = makeDevice(10, (busyMs) => (busyMs >= HOT_FROM_MS && busyMs < HOT_TO_MS ? 2 : 1))
    const pauses: number[] = []
    const cool = async (slowdown: number) => {
      pauses.push(slowdown)
      device.rest(HOT_TO_MS)
      for (let look = 0; look < 3; look++) watch.observe(await device.reference())
      return true
    }
    const round = await steadyRound({ ...device, order, watch, lookMs: 12, cool })
    expect(pauses.length).toBeGreaterThan(0)
    expect(Math.max(...pauses)).toBeGreaterThan(TOLERATED_SLOWDOWN)
    expect(round.repeated).toBeGreaterThan(0)
    // Not even the first of it, which only later looks tell from chance.
    expect(round.samples).toEqual(steady(10))
  })

  it('looks again after a slow look at its end, and keeps what was measured where that was chance', async () => {
    const watch = createThrottleWatch()
    for (let look = 0; look < 5; look++) watch.observe(2)
    const device = makeDevice(10, () => 1)
    const looks = [9, 2]
    const reference = () => Promise.resolve(looks.shift() ?? Number.NaN)
    const cool = () => Promise.reject(new Error('expected no pause'))
    expect(await steadyRound({ ...device, reference, order, watch, lookMs: 1000, cool })).toEqual({ samples: steady(10), repeated: 0 })
    expect(looks).toEqual([])
  })

  it('accepts the speed of a device that does not recover, and ends', async () => {
    const watch = createThrottleWatch()
    for (let look = 0; look < 5; look++) watch.observe(2)
    const device = makeDevice(10, () => 3)
    let pauses = 0
    const cool = async () => {
      pauses += 1
      return false
    }
    const round = await steadyRound({ ...device, order, watch, lookMs: 1, cool })
    expect(round.samples).toEqual(steady(10).map((ms) => 3 * ms))
    expect(pauses).toBe(1)
  })
})
