// The measuring page: from a code, or a session kept from an earlier visit, to published tables.

import { entriesOf } from '../../latency-lut/table/rounds.ts'
import { createSpace, type Space } from '../../search-space/index.ts'
import { find, setText } from '../dashboard/dom.js'
import { parseProfileCode, type ProfileBackend, type ProfileConditions, type ProfileStatus } from '../../protocol/profiles.ts'
import { holdAttention } from './attention.ts'
import { type Availability, findBackends, openBackend, type OpenedBackend } from './backends.ts'
import { clockStepMs, describeDevice, type Device } from './device.ts'
import { DIGITS, MAX_SENT_SAMPLES, SEND_MS, SHOW_MS } from './limits.ts'
import { measureBackend, type RoundReport } from './measure-backend.ts'
import { createOutbox, type Outbox } from './outbox.ts'
import { createRequests, RefusedError } from './requests.ts'
import { forget, readSession, type Session, writeSession } from './session.ts'
import {
  backendTitles,
  chosenBackends,
  showConnection,
  showMedians,
  showNotice,
  showProgress,
  showSetup,
  showTables,
  showView,
  showWarning,
} from './view.ts'

const UNAUTHORIZED = 401
const NOT_FOUND = 404

let session: Session | null = null
const requests = createRequests(() => {
  if (!session) throw new Error('there is no session yet')
  return session
}, showConnection)

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

/** Whether the profile behind a stored session is gone: deleted, over, or taken over by another browser. */
const isGone = (error: unknown) => error instanceof RefusedError && (error.status === UNAUTHORIZED || error.status === NOT_FOUND)

function askForCode(error: string): void {
  showConnection('idle')
  setText(find('#code-error'), error)
  showView('code')
  find('#code').focus()
}

async function begin(): Promise<void> {
  showNotice('')
  const typed = decodeURIComponent(location.hash.slice(1))
  if (typed !== '') {
    history.replaceState(null, '', location.pathname)
    return openCode(typed)
  }
  session = readSession()
  if (!session) return askForCode('')
  try {
    await prepare(await requests.status())
  } catch (error) {
    if (!isGone(error)) throw error
    forget()
    askForCode(messageOf(error))
  }
}

async function openCode(typed: string): Promise<void> {
  const code = parseProfileCode(typed)
  if (code === null) return askForCode('A code has ten letters and digits, such as K7QF9-M2X4T.')
  try {
    const opened = await requests.open(code)
    forget()
    session = { profileId: opened.profileId, token: opened.token }
    writeSession(session)
    await prepare(opened.status)
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error
    // The link of a run that this browser has begun: a page that was reloaded has no other way to its session.
    session = readSession()
    const status = session && (await requests.status().catch(() => null))
    if (status) return prepare(status)
    askForCode(error.message)
  }
}

async function prepare(status: ProfileStatus): Promise<void> {
  if (status.phase === 'published') {
    forget()
    return showTables(status.tables)
  }
  const [found, device] = await Promise.all([findBackends(), describeDevice()])
  if (session?.run) return run(status, found, { ...device, name: session.run.device }, session.run.backends)
  showSetup(status, found, device)
  find('#setup-form').addEventListener('submit', (event) => {
    event.preventDefault()
    const backends = chosenBackends()
    if (backends.length === 0) return showNotice('Choose at least one backend.')
    showNotice('')
    const field: HTMLInputElement = find('#device-name')
    const name = field.value.trim() || device.name
    session = { ...(session as Session), run: { backends, device: name } }
    writeSession(session)
    void run(status, found, { ...device, name }, backends).catch(fail)
  })
}

async function run(
  status: ProfileStatus,
  found: readonly Availability[],
  device: Device,
  backends: readonly ProfileBackend[],
): Promise<void> {
  const space = createSpace(status.request.space)
  const step = clockStepMs()
  showView('run')
  setText(find('#run-space'), `${status.space}, ${status.keys} operations`)
  setText(find('#run-device'), [device.name, device.os].filter(Boolean).join(', '))
  setText(find('#run-browser'), device.browser)
  setText(find('#run-clock'), `clock step ${step < 0.1 ? `${Math.round(1000 * step)} µs` : `${step.toFixed(1)} ms`}`)

  const outbox = createOutbox((session as Session).profileId, requests, (pending) =>
    setText(find('#run-sent'), pending === 0 ? 'all' : `${pending} waiting`),
  )
  const stop = new AbortController()
  const button: HTMLButtonElement = find('#finish')
  button.addEventListener('click', () => {
    button.disabled = true
    setText(find('#run-state'), 'finishing')
    stop.abort()
  })
  const attention = holdAttention({
    onVisibility: (visible) => setText(find('#run-state'), visible ? 'measuring' : 'paused while hidden'),
    onWakeLock: (state) =>
      setText(
        find('#run-awake'),
        state === 'held' ? 'The screen is kept awake.' : 'The screen is not kept awake here: touch it now and then, or set it to stay on.',
      ),
  })
  const unavailable: string[] = []
  try {
    for (const [index, backend] of backends.entries()) {
      if (stop.signal.aborted) break
      const wanted = found.find((each) => each.backend === backend)
      if (wanted?.kind !== 'available') {
        unavailable.push(`${backendTitles[backend]} is not there`)
        continue
      }
      try {
        setText(find('#run-state'), 'loading')
        showWarning('')
        setText(find('#run-backend'), `${backendTitles[backend]}${backends.length > 1 ? ` (${index + 1} of ${backends.length})` : ''}`)
        const opened = await openBackend(wanted)
        await measure({ status, space, device, opened, step, outbox, attention, signal: stop.signal })
      } catch (error) {
        if (error instanceof RefusedError) throw error
        // A driver that fails on one backend says nothing about the others.
        unavailable.push(`${backendTitles[backend]}: ${messageOf(error)}`)
      }
      if (unavailable.length > 0) showNotice(unavailable.join('; '))
    }
    button.disabled = true
    setText(find('#run-state'), 'sending')
    await outbox.drain()
    const { tables } = await requests.finish()
    forget()
    showConnection('idle')
    showTables(tables)
  } finally {
    attention.release()
  }
}

type Measuring = {
  readonly status: ProfileStatus
  readonly space: Space
  readonly device: Device
  readonly opened: OpenedBackend
  /** Of the clock, milliseconds. */
  readonly step: number
  readonly outbox: Outbox
  readonly attention: ReturnType<typeof holdAttention>
  readonly signal: AbortSignal
}

/** Measures one backend to the end; rounds that are stored or on their way count as measured. */
async function measure({ status, space, device, opened, step, outbox, attention, signal }: Measuring): Promise<void> {
  const { backend } = opened
  // What an earlier visit left goes first, so that the coordinator's rounds are all there are.
  await outbox.drain()
  const stored = (await requests.status()).backends.find((each) => each.backend === backend)
  const rounds = stored ? await requests.rounds(backend) : []
  const keys = space.measurableOperations().map(({ latencyKey }) => latencyKey)
  let batch = stored?.nextBatch ?? 0
  let unsent: RoundReport[] = []
  // The first round goes at once: whoever waits for this device sees it begin.
  let sentAtMs = Number.NEGATIVE_INFINITY
  let shownAtMs = Number.NEGATIVE_INFINITY
  const send = () => {
    const last = unsent.at(-1)
    if (!last) return
    outbox.add({
      backend,
      batch: batch++,
      spentMs: unsent.reduce((sum, { spentMs }) => sum + spentMs, 0),
      conditions: conditionsOf(device, opened, step, last.throttled),
      rounds: unsent.map(({ samples }) => samples.map((ms) => Number(ms.toPrecision(DIGITS)))),
    })
    unsent = []
    sentAtMs = performance.now()
  }
  const button: HTMLButtonElement = find('#finish')
  await measureBackend({
    space,
    opened,
    batch: status.request.batch,
    budgetMs: status.request.budgetSeconds * 1000,
    clockStepMs: step,
    attention,
    before: { rounds, spentMs: stored?.spentMs ?? 0 },
    signal,
    onPhase: (phase) => setText(find('#run-state'), phase),
    onThrottling: (slowdown) =>
      showWarning(
        slowdown === null
          ? ''
          : `The device has become ${slowdown.toFixed(1)} times slower, probably from heat. Waiting for it to recover; what was measured meanwhile is measured again.`,
      ),
    onRound(report) {
      unsent.push(report)
      const isFull = (unsent.length + 1) * keys.length > MAX_SENT_SAMPLES
      if (isFull || report.share === 1 || performance.now() - sentAtMs > SEND_MS) send()
      if (report.share < 1 && performance.now() - shownAtMs < SHOW_MS) return
      shownAtMs = performance.now()
      showProgress(report.share)
      button.disabled = signal.aborted
      setText(find('#run-rounds'), String(report.rounds.length))
      setText(find('#run-repeated'), String(report.repeated))
      setText(find('#run-precision'), Number.isFinite(report.halfWidth) ? `± ${(100 * report.halfWidth).toFixed(1)} %` : '–')
      showWarning(
        report.throttled
          ? 'The device stays slower than at its best: its present speed is measured, and the table says so if that goes on.'
          : '',
      )
      const entries = entriesOf(report.rounds, keys.length)
      showMedians(
        keys.map((key, index) => ({ key, ms: entries[index]?.meanMs ?? 0 })),
        `Medians on ${backendTitles[backend]}`,
      )
    },
  })
  send()
}

function conditionsOf(device: Device, opened: OpenedBackend, step: number, throttled: boolean): ProfileConditions {
  return {
    device: device.name,
    os: device.os,
    browser: device.browser,
    runtimeVersion: opened.version,
    threads: opened.threads,
    adapter: opened.adapter?.slice(0, 100),
    clockStepMs: step,
    throttled,
  }
}

/** Nothing more can be done from here. */
function fail(error: unknown): void {
  if (isGone(error)) forget()
  showNotice(`${messageOf(error)} Reload this page to try again.`)
  setText(find('#run-state'), 'stopped')
}

find('#code-form').addEventListener('submit', (event) => {
  event.preventDefault()
  const field: HTMLInputElement = find('#code')
  void openCode(field.value).catch(fail)
})
// A link opened in this tab.
addEventListener('hashchange', () => location.hash !== '' && location.reload())
void begin().catch(fail)
