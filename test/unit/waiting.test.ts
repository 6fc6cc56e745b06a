// How agents wait, on a clock of the test: with a socket that opens, one that is refused, and one that is lost again and again.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Wait } from '../../protocol/index.ts'
import { createWaiting } from '../../worker-agent/agent/waiting.ts'
import type { WakeUpListener } from '../../worker-agent/client/wake-up-socket.ts'

const PAUSED: Wait = { retryAfterMs: 1000, retryAtMostMs: 300_000, listeningRetryMs: 900_000 }
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
/** As fast as a connection is made here. */
const OPEN_MS = 50

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

type Opened = { readonly listener: WakeUpListener; readonly atMs: number; isClosed: boolean }

/** An agent that is told to wait whenever it asks; chance takes nothing off. */
function agentThatWaits(answer: Wait, onOpened: (opened: Opened) => void) {
  const stop = new AbortController()
  const asked: number[] = []
  const opened: Opened[] = []
  const startedAtMs = Date.now()
  const elapsedMs = () => Date.now() - startedAtMs
  const waiting = createWaiting({
    stop: stop.signal,
    now: elapsedMs,
    random: () => 0,
    openWakeUps(listener) {
      const one: Opened = { listener, atMs: elapsedMs(), isClosed: false }
      opened.push(one)
      onOpened(one)
      return { close: () => void (one.isClosed = true) }
    },
  })
  const ended = (async () => {
    for (;;) {
      asked.push(elapsedMs())
      await waiting.wait(answer)
    }
  })().catch((error: unknown) => error)
  const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms)
  return { asked, opened, pass, elapsedMs, waiting, stop, ended }
}

const opens = ({ listener }: Opened) => void setTimeout(() => listener.onOpen(), OPEN_MS)

describe('an agent that waits', () => {
  it('asks once more when its socket has opened, and then seldom, or within a moment of being told', async () => {
    const { asked, opened, pass, waiting, stop, ended } = agentThatWaits(PAUSED, opens)
    await pass(HOUR_MS)
    expect(asked).toEqual([0, 1000, 901_000, 1_801_000, 2_701_000])
    expect(opened).toHaveLength(1)
    const [socket] = opened
    socket?.listener.onWork()
    await pass(0)
    expect(asked.slice(5)).toEqual([HOUR_MS])
    // Told again at once, and once more: a second apart, and nothing that it is told is lost.
    socket?.listener.onWork()
    await pass(10)
    socket?.listener.onWork()
    await pass(MINUTE_MS)
    expect(asked.slice(6)).toEqual([HOUR_MS + 1000])
    waiting.over()
    expect(socket?.isClosed).toBe(true)
    stop.abort(new Error('stopped'))
    expect(await ended).toEqual(new Error('stopped'))
    expect(vi.getTimerCount()).toBe(0)
  })

  it('asks as if there were no sockets where they are refused, and tries one more and more seldom', async () => {
    const refused = agentThatWaits(PAUSED, ({ listener }) => void setTimeout(() => listener.onLost(), OPEN_MS))
    const without = agentThatWaits({ ...PAUSED, listeningRetryMs: undefined }, opens)
    await without.pass(24 * HOUR_MS)
    expect(refused.asked).toEqual(without.asked)
    expect(without.opened).toEqual([])
    expect(refused.opened.length).toBeLessThan(45)
    expect(refused.opened.length).toBeGreaterThan(20)
  })

  it('asks within seconds of losing its socket, and opens another', async () => {
    const { asked, opened, pass, elapsedMs } = agentThatWaits(PAUSED, opens)
    await pass(10 * MINUTE_MS)
    opened[0]?.listener.onLost()
    const lostAtMs = elapsedMs()
    await pass(MINUTE_MS)
    expect(asked.slice(2)).toEqual([lostAtMs + 2000, lostAtMs + 3000])
    expect(opened.map(({ atMs }) => atMs)).toEqual([0, lostAtMs + 2000])
  })

  it('never waits longer than without a socket, and asks for few, where each is ended after half a minute', async () => {
    const { asked, opened, pass } = agentThatWaits(PAUSED, (one) => {
      opens(one)
      setTimeout(() => one.listener.onLost(), 30_000)
    })
    await pass(24 * HOUR_MS)
    const gaps = asked.slice(1).map((atMs, i) => atMs - (asked[i] as number))
    expect(Math.max(...gaps)).toBeLessThanOrEqual(330_000)
    expect(opened.length).toBeLessThan(45)
    expect(asked.length + opened.length).toBeLessThan(500)
  })

  it('opens none for short waits', async () => {
    const { opened, pass } = agentThatWaits({ retryAfterMs: 250, listeningRetryMs: 25_000 }, opens)
    await pass(MINUTE_MS)
    expect(opened).toEqual([])
  })
})
