// What a profile has measured so far, in a file next to the table that it will become: `--resume` goes on from there.

import { readFile, rm } from 'node:fs/promises'
import * as z from 'zod'
import { CliError } from '../../../command-line/exit-codes.ts'
import { fieldErrors } from '../../../protocol/index.ts'
import { writeTextFile } from './files.ts'
import type { Checkpoint, Progress } from '../node/measure.ts'

const FORMAT = 'gatehouse-partial-profile/1'
/** Nanoseconds: the clock has no finer ones. */
const DIGITS = 6

/** What has to be the same for samples to belong together, by the name under which a person knows it. */
type Conditions = Readonly<Record<string, string | number>>

const partialSchema = z.strictObject({
  format: z.literal(FORMAT),
  conditions: z.record(z.string(), z.union([z.string(), z.number()])),
  spentMs: z.number().min(0),
  rounds: z.array(z.array(z.number().positive()).min(1)),
})

function partialFileOf(tableFile: string): string {
  return `${tableFile}.part`
}

/** Throws CliError `usage` where the file is there but is not a profile begun under these conditions. */
async function readPartial(file: string, conditions: Conditions): Promise<Progress | null> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw new CliError('usage', `cannot read ${file}: ${(error as Error).message}`)
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new CliError('usage', `${file} is not JSON; remove it, or start anew without --resume`)
  }
  const parsed = partialSchema.safeParse(value)
  if (!parsed.success) throw new CliError('usage', `${file} is not a profile that was begun`, fieldErrors(parsed.error))
  const { rounds, spentMs, conditions: then } = parsed.data
  const changed = Object.entries(conditions).flatMap(([path, now]) =>
    then[path] === now ? [] : [{ path, message: `it was ${then[path] ?? 'not known'}, now it is ${now}` }],
  )
  if (changed.length > 0) throw new CliError('usage', `${file} was begun under other conditions: --resume cannot go on from it`, changed)
  if (rounds.some((round) => round.length !== rounds[0]?.length)) throw new CliError('usage', `${file} has rounds of different lengths`)
  return { rounds, spentMs }
}

/**
 * Keeps a profile's samples in `file`; with `resume` goes on from those that are there. Throws CliError as readPartial does.
 */
async function openCheckpoint(file: string, conditions: Conditions, resume: boolean): Promise<Checkpoint> {
  const round = (value: number) => Number(value.toFixed(DIGITS))
  return {
    earlier: resume ? await readPartial(file, conditions) : null,
    save: ({ rounds, spentMs }) =>
      writeTextFile(
        file,
        JSON.stringify({ format: FORMAT, conditions, spentMs: Math.round(spentMs), rounds: rounds.map((row) => row.map(round)) }),
      ),
  }
}

function removePartial(file: string): Promise<void> {
  return rm(file, { force: true })
}

export { type Conditions, openCheckpoint, partialFileOf, removePartial }
