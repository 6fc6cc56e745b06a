// What every agent, whatever it works for, says of itself and does about a coordinator that is away.

import { DEFAULT_PIXEL_BITS, type PixelBits, PROTOCOL, type RegisterRequest, taskKinds, versionNote } from '../../protocol/index.ts'
import type { Dataset } from '../../engine/datasets/index.ts'

/** After a stop, requests under way get this long before they are cut off. */
const STOP_GRACE_MS = 8000
const MAX_NAME = 200

type Connection = {
  /** Cuts off requests: some time after a stop, or at once where they are only being repeated. */
  readonly signal: AbortSignal
  /** To be called where a request is about to be repeated; says so once per outage. */
  onRetry(message: string): void
  /** An answer came: the next outage is said again. */
  reached(): void
}

function watchConnection(stop: AbortSignal, onNote: (line: string) => void): Connection {
  const cut = new AbortController()
  stop.addEventListener('abort', () => void setTimeout(() => cut.abort(stop.reason), STOP_GRACE_MS).unref(), { once: true })
  let unreachable = false
  return {
    signal: cut.signal,
    onRetry(message) {
      if (!unreachable) onNote(`coordinator cannot be reached (${message}); trying until it can`)
      unreachable = true
      if (stop.aborted) cut.abort(stop.reason)
    },
    reached() {
      unreachable = false
    },
  }
}

/** Says so where coordinator and agent are of different versions, which may well work together. */
async function noteVersion(client: { coordinatorVersion(): Promise<string> }, onNote: (line: string) => void): Promise<void> {
  const note = versionNote(await client.coordinatorVersion())
  if (note !== null) onNote(note)
}

/** As agents of searches register, which train so many paths side by side, and those of trainings ask for a lease. */
function describeAgent(
  name: string,
  device: string,
  backend: { readonly name: string },
  dataset: Pick<Dataset, 'name' | 'fingerprint' | 'shape' | 'classes'> & {
    readonly bits: PixelBits
    readonly train: { readonly count: number }
  },
  lanes?: number,
): RegisterRequest {
  return {
    name: name.slice(0, MAX_NAME),
    device,
    backend: backend.name,
    ...(lanes !== undefined && { lanes }),
    protocol: PROTOCOL,
    kinds: { ...taskKinds },
    dataset: {
      name: dataset.name,
      fingerprint: dataset.fingerprint,
      shape: [...dataset.shape],
      // Coordinators that do not know the field have nothing but bytes.
      ...(dataset.bits !== DEFAULT_PIXEL_BITS && { bits: dataset.bits }),
      classes: dataset.classes,
      trainImages: dataset.train.count,
    },
  }
}

export { describeAgent, noteVersion, watchConnection }
