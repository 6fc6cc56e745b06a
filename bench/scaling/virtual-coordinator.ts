// The coordinator of a search on a virtual clock: the rules and the strategy that the real one runs, with a store in memory
// and the weights beside it. Agents reach it through links that are as slow as they say.

import { type LeaseResponse, ProblemError, type PushResponse, type SearchConfig, type Tensor, velocityKey } from '../../protocol/index.ts'
import { createMemoryStore } from '../../rules/search/memory-store.ts'
import {
  createSetup,
  leaseTask,
  type OpenSearch,
  openSearch,
  registerAgent,
  releaseLease,
  startSearch,
  submitResult,
} from '../../rules/search/index.ts'
import { createSpace, initialWeights, type Space } from '../../search-space/index.ts'
import type { CoordinatorClient } from '../../worker-agent/client/coordinator-client.ts'
import { CoordinatorError } from '../../worker-agent/client/requests.ts'
import type { Dataset } from '../../engine/datasets/index.ts'
import { macsTable } from '../../simulation/macs-table.ts'
import type { VirtualClock } from './virtual-clock.ts'

/** What lies between an agent and the coordinator. */
type Link = {
  /** One way, milliseconds. */
  readonly delayMs: number
  readonly bytesPerSecond: number
}

type VirtualCoordinator = {
  readonly search: OpenSearch
  readonly space: Space
  /** Weight payloads that travelled. */
  readonly traffic: { bytes: number }
  connect(link: Link): CoordinatorClient
}

const TABLE_VERSION = 'f'.repeat(64)
/** Headers and JSON of a request without weights. */
const REQUEST_BYTES = 500
/** Of one number on the wire, and of a tensor's entry in the header of a safetensors file. */
const VALUE_BYTES = { fp32: 4, bf16: 2, int8: 1 } as const
const HEADER_BYTES = 120

/** Latency expected when every operation is as likely as the others, milliseconds. */
function uniformLatencyMs(config: SearchConfig): number {
  const { latency } = createSetup('s000000000000', config, { ...macsTable(createSpace(config.space)), version: TABLE_VERSION }, 0)
  return latency.operationMs.reduce((sum, row) => sum + row.reduce((a, b) => a + b, 0) / row.length, latency.fixedMs)
}

function createVirtualCoordinator(config: SearchConfig, dataset: Dataset, clock: VirtualClock): VirtualCoordinator {
  const space = createSpace(config.space)
  const store = createMemoryStore()
  const setup = createSetup('s000000000000', config, { ...macsTable(space), version: TABLE_VERSION }, clock.nowMs())
  startSearch(() => store, setup)
  const search = openSearch(store) as OpenSearch
  const weights = new Map(
    space.weightSpecs.flatMap((spec) => {
      const values = initialWeights(spec, config.seed)
      return [
        { key: spec.key, values, version: 0 },
        { key: velocityKey(spec.key), values: new Float32Array(values.length), version: 0 },
      ].map((weight) => [weight.key, weight] as const)
    }),
  )
  const applied = new Set<number>()
  const traffic = { bytes: 0 }
  let ids = 0
  const nextId = (prefix: string) => `${prefix}${String(++ids).padStart(12, '0')}`

  const connect = ({ delayMs, bytesPerSecond }: Link): CoordinatorClient => {
    const travel = (bytes: number) => clock.sleep(delayMs + (1000 * bytes) / bytesPerSecond)
    const ask = async <T>(body: () => T, up = REQUEST_BYTES, down: (answer: T) => number = () => REQUEST_BYTES): Promise<T> => {
      await travel(up)
      let answer: T
      try {
        answer = body()
      } catch (error) {
        if (error instanceof ProblemError) throw new CoordinatorError(error.code, 422, error.message)
        throw error
      }
      await travel(down(answer))
      return answer
    }
    const bytesOf = (lengths: readonly number[], encoding: SearchConfig['weights']['encoding']) => {
      const bytes = lengths.reduce((sum, length) => sum + HEADER_BYTES + length * VALUE_BYTES[encoding], 0)
      traffic.bytes += bytes
      return bytes
    }
    return {
      searchId: setup.searchId,
      bytes: { sent: 0, received: 0 },
      coordinatorVersion: () => Promise.reject(new Error('not asked for')),
      readSpace: () => Promise.resolve(setup.space),
      readBits: () => Promise.resolve(8),
      register: (request) =>
        ask(() => {
          const { agentId } = registerAgent(search, request, nextId('a'), clock.nowMs())
          return { agentId, searchId: setup.searchId, config, space: setup.space, shards: 1 }
        }),
      lease: (agentId) => ask((): LeaseResponse => leaseTask(search, agentId, nextId('l'), clock.nowMs())),
      heartbeat: () => Promise.resolve('extended'),
      release: async (ref, why = { reason: 'stopping' }) => {
        await ask(() => releaseLease(search, { ...ref, ...why }, clock.nowMs()))
      },
      submit: (request) => ask(() => submitResult(search, request, clock.nowMs())),
      readCheckpoint: () => Promise.reject(new Error('not asked for')),
      storeCheckpoint: () => Promise.reject(new Error('not asked for')),
      pull: (_, held) =>
        ask(
          () =>
            new Map(
              Object.entries(held).flatMap(([key, version]) => {
                const weight = weights.get(key)
                if (!weight || weight.version === version) return []
                return [[key, { values: weight.values.slice(), version: weight.version }] as const]
              }),
            ),
          REQUEST_BYTES + Object.keys(held).length * 30,
          (answer) =>
            bytesOf(
              [...answer.values()].map(({ values }) => values.length),
              config.weights.encoding === 'int8' ? 'bf16' : config.weights.encoding,
            ),
        ),
      push: (_, { taskId }, differences: ReadonlyMap<string, Tensor>) =>
        ask(
          (): PushResponse => {
            const isKnown = applied.has(taskId)
            applied.add(taskId)
            const versions: Record<string, number> = {}
            for (const [key, { values }] of differences) {
              const weight = weights.get(key)
              if (!weight) throw new Error(`no weight ${key}`)
              if (!isKnown) {
                weight.values = weight.values.map((value, i) => value + (values[i] ?? 0))
                weight.version += 1
              }
              versions[key] = weight.version
            }
            return { kind: isKnown ? 'duplicate' : 'applied', versions, scales: {} }
          },
          bytesOf(
            [...differences.values()].map(({ values }) => values.length),
            config.weights.encoding,
          ),
        ),
    }
  }
  return { search, space, traffic, connect }
}

export { createVirtualCoordinator, type Link, uniformLatencyMs, type VirtualCoordinator }
