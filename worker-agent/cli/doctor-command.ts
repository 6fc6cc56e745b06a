// `worker-agent doctor`: which backends this machine has, why it lacks the others and how to get them, and how fast it trains.

import * as tf from '@tensorflow/tfjs-core'
import { type CommandDef, defineCommand } from 'citty'
import { CliError } from '../../command-line/exit-codes.ts'
import { printResult, type Terminal } from '../../command-line/terminal.ts'
import { type Choice, createRandom, createSpace, seedState } from '../../search-space/index.ts'
import {
  type Backend,
  type BackendName,
  backendNames,
  type BackendOptions,
  BackendUnavailableError,
  openBackend,
} from '../../engine/backends/backends.ts'
import { createSgd, createWeights, trainStep } from '../../engine/executor/index.ts'
import { backendArgs, backendOptions, deviceName, openChosenBackend } from '../../command-line/training-flags.ts'

const DEFAULT_SECONDS = 10
/** What the speed is measured on: random paths of this preset, a weight step per batch. */
const SPEED_SPACE = 'fashion-mini'
const SPEED_BATCH = 64
/** Tried first: where such a step takes a good part of the time there is, larger ones are not tried. */
const PROBE_BATCH = 4
const PROBE_SHARE = 0.1
/** Steps before the clock starts: the engine compiles its hot code meanwhile. */
const WARMUP_STEPS = 5

const advice = {
  tensorflow:
    'npm install --no-save @tensorflow/tfjs-node-gpu@4.22.0 for an NVIDIA card (CUDA 11.2 and cuDNN 8.1), or @tensorflow/tfjs-node@4.22.0 for the CPU; both fetch a native library when installed',
  webgpu:
    "npm install webgpu@0.6.2, and the card's Vulkan driver with its loader (Debian: libvulkan1 and nvidia-driver or mesa-vulkan-drivers); Metal and D3D12 need nothing",
  wasm: 'Node 22 or newer, and the kernels: the package comes with them, and `npm run prepare` compiles them in a clone',
  cpu: 'always there',
} as const satisfies Record<BackendName, string>

type Finding =
  | { readonly name: BackendName; readonly usable: true; readonly description: string }
  | { readonly name: BackendName; readonly usable: false; readonly reason: string; readonly advice: string }

async function inspect(name: BackendName, options: BackendOptions): Promise<Finding> {
  try {
    const { chosen } = await openBackend(name, options)
    return { name, usable: true, description: chosen.description }
  } catch (error) {
    const reason =
      error instanceof BackendUnavailableError ? error.rejected.map(({ reason: text }) => text).join('; ') : (error as Error).message
    return { name, usable: false, reason, advice: advice[name] }
  }
}

/** Images per second of weight steps on random paths, and the mini-batch that was small enough for the time given. */
async function measureSpeed(backend: Backend, seconds: number, signal: AbortSignal): Promise<{ imagesPerSecond: number; batch: number }> {
  const space = createSpace(SPEED_SPACE)
  const random = createRandom(seedState('doctor'))
  const weights = createWeights(backend, space.weightSpecs, 0)
  const optimiser = createSgd({ momentum: 0.9, nesterov: true, weightDecay: 0 })
  const step = async (batch: number) => {
    signal.throwIfAborted()
    const images = tf.randomNormal([batch, ...space.input]) as tf.Tensor4D
    const labels = Int32Array.from({ length: batch }, (_, index) => index % space.classes)
    const path: Choice[] = space.decisions.map(({ options }) => Math.floor(random.uniform() * options.length))
    const { gradients } = await trainStep({ graph: space.network(path), weights, images, labels })
    optimiser.apply(weights, gradients, 0)
    images.dispose()
  }
  try {
    const probeMs = performance.now()
    await step(PROBE_BATCH)
    const isSlow = performance.now() - probeMs > PROBE_SHARE * seconds * 1000
    const batch = isSlow ? PROBE_BATCH : SPEED_BATCH
    const warmUpSteps = isSlow ? 0 : WARMUP_STEPS
    for (let i = 0; i < warmUpSteps; i++) await step(batch)
    const startMs = performance.now()
    let steps = 0
    while (performance.now() - startMs < seconds * 1000) {
      await step(batch)
      steps += 1
    }
    return { imagesPerSecond: (steps * batch * 1000) / (performance.now() - startMs), batch }
  } finally {
    optimiser.clear()
    weights.dispose()
  }
}

function describe(findings: readonly Finding[], chosen: BackendName): string[] {
  return findings.flatMap((finding) => {
    const mark = finding.name === chosen ? '*' : ' '
    if (finding.usable) return [`${mark} ${finding.name.padEnd(11)}${finding.description}`]
    return [`${mark} ${finding.name.padEnd(11)}not usable: ${finding.reason}`, `${' '.repeat(13)}to get it: ${finding.advice}`]
  })
}

function createDoctorCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'doctor', description: 'Say which backends this machine can train on, why not the others, and how fast it is.' },
    args: {
      ...backendArgs,
      seconds: { type: 'string', valueHint: 'N', description: 'how long to measure; 0 for not at all', default: String(DEFAULT_SECONDS) },
      json: { type: 'boolean', description: 'print one JSON object to standard output', default: false },
    },
    async run({ args }) {
      const seconds = Number(args.seconds)
      if (!Number.isFinite(seconds) || seconds < 0) throw new CliError('usage', `expected --seconds to be 0 or more, got "${args.seconds}"`)
      const options = backendOptions(args)
      const backends: Finding[] = []
      for (const name of backendNames) backends.push(await inspect(name, options))
      // Opened last: the one that is opened is the one that is used.
      const quiet: Terminal = { ...terminal, note: () => {} }
      const chosen = await openChosenBackend(quiet, args)
      if (!args.json) terminal.write(`${describe(backends, chosen.name).join('\n')}\n`)
      if (seconds > 0) terminal.note(`measuring ${chosen.name} for ${seconds} s …`)
      const measured = seconds > 0 ? await measureSpeed(chosen, seconds, terminal.interrupted) : null
      const speed = measured && { ...measured, seconds, space: SPEED_SPACE }
      printResult(terminal, args.json, { chosen: chosen.name, device: deviceName(chosen), backends, speed }, () =>
        speed === null
          ? `chosen: ${chosen.name}`
          : `${speed.imagesPerSecond.toFixed(speed.imagesPerSecond < 10 ? 1 : 0)} images/s on ${chosen.name} (weight steps on random paths of ${SPEED_SPACE}, batch ${speed.batch})`,
      )
    },
  }) as CommandDef
}

export { createDoctorCommand }
