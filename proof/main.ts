// Whether searches find what is worth finding: npm run proof -- --recorded FILE
//
// A supernet of the NAS-Bench-Macro space, trained on real CIFAR-10 → its shared-weight figures beside the recorded accuracies → searches at
// three limits with its weights → what they found, looked up in the recorded trainings of all 6,561 networks. Everything is kept in a folder:
// what a run that was broken off has done is not done again.

import { join } from 'node:path'
import { type CommandDef, defineCommand } from 'citty'
import { runSideBySide, startCommand } from '../command-line/child-commands.ts'
import { CliError } from '../command-line/exit-codes.ts'
import { runProgram } from '../command-line/program.ts'
import { readTableFile } from '../command-line/table-file.ts'
import type { Terminal } from '../command-line/terminal.ts'
import { deviceName, openChosenBackend, openChosenDataset } from '../command-line/training-flags.ts'
import { costsOf } from './costs.ts'
import { flagsOfSeed, proofArgs, type ProofFlags, readFlags } from './flags.ts'
import { reportOf } from './report.ts'
import { type Proof, runSeed, type SeedResult } from './run-seed.ts'
import { defaultLimits } from './settings.ts'
import { openTruth } from './truth.ts'
import { writeReport } from './write-report.ts'

/** What all seeds have in common. Throws CliError. */
async function openProof(terminal: Terminal, flags: ProofFlags) {
  const { recordedFile, tableFile, folder, supernet, near, ranking, searches, strategies, jobs, data, cache } = flags
  const { benchmark, recordedSpace, truth } = openTruth(recordedFile)
  const costs = costsOf(recordedSpace, tableFile === null ? null : await readTableFile(tableFile))
  const all = truth.paths.map(costs.of)
  const limits = flags.limits ?? defaultLimits(costs.unit, all)
  const tooLow = limits.find((limit) => all.every((cost) => cost > limit))
  if (tooLow !== undefined) throw new CliError('usage', `expected limits that a network is within, got ${tooLow} ${costs.unit}`)
  const backend = await openChosenBackend(terminal, { backend: 'wasm', 'software-gpu': false })
  const dataset = await openChosenDataset(terminal, flags, () => recordedSpace.input)
  const proof: Proof = {
    terminal,
    folder,
    backend,
    dataset,
    supernet,
    near,
    ranking,
    searches,
    strategies,
    limits,
    costs,
    truth,
    data,
    cache,
  }
  const about = {
    data: { name: dataset.name, fingerprint: dataset.fingerprint },
    recorded: { name: benchmark.name, citation: benchmark.citation },
    machine: deviceName(backend),
    jobs,
    supernet,
    near,
    ranking,
    searches,
    unit: costs.unit,
  }
  return { proof, about }
}

/** Seeds as processes, which leave what they have done in the folder. */
async function runSideBySideSeeds(
  terminal: Terminal,
  seeds: readonly number[],
  jobs: number,
  flagsOf: (seed: number) => string[],
): Promise<void> {
  const run = async (seed: number) => {
    const { interrupted } = terminal
    await startCommand('proof/main.ts', flagsOf(seed), { onNote: (line) => terminal.note(line), interrupted }).result
  }
  await runSideBySide(
    seeds.map((seed) => () => run(seed)),
    jobs,
  )
}

function createProof(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'proof',
      description:
        'Train supernets of the NAS-Bench-Macro space on CIFAR-10, search with them at three limits, and look up the true accuracy of what was found among the recorded trainings of all 6,561 networks. A run that was broken off is gone on with.',
    },
    args: proofArgs,
    async run({ args }) {
      const flags = readFlags(terminal, args)
      const seeds = flags.onlySeed === null ? Array.from({ length: flags.seeds }, (_, index) => index + 1) : [flags.onlySeed]
      if (flags.jobs > 1 && seeds.length > 1)
        await runSideBySideSeeds(terminal, seeds, flags.jobs, (seed) => flagsOfSeed(args, flags, seed))
      const { proof, about } = await openProof(terminal, flags)
      const results: SeedResult[] = []
      for (const seed of seeds) results.push(await runSeed(proof, seed))
      if (flags.onlySeed !== null) return
      const report = reportOf(about, results, proof.limits, proof.truth, proof.costs)
      const folder = join(flags.folder, 'report')
      const page = writeReport(folder, report, proof.truth, proof.costs)
      terminal.note(`written to ${folder}`)
      terminal.write(args.json ? `${JSON.stringify(report)}\n` : page)
    },
  }) as CommandDef
}

await runProgram(createProof, process.argv.slice(2))
