// Which network a command is about.

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { ArgsDef } from 'citty'
import { CliError } from '../../command-line/exit-codes.ts'
import type { Terminal } from '../../command-line/terminal.ts'
import { fieldErrors } from '../../protocol/index.ts'
import {
  createSpace,
  parseArchitecture,
  type Path,
  type Space,
  SpaceError,
  type SpaceRef,
  spaceRefSchema,
} from '../../search-space/index.ts'

const networkFlags = {
  space: { type: 'string', valueHint: 'PRESET|@FILE', description: 'search space that the architecture is of', required: true },
  architecture: { type: 'string', valueHint: 'ENCODING', description: 'for example fashion-mini:mb3k5,zero,…', required: true },
} as const satisfies ArgsDef

type Network = { readonly ref: SpaceRef; readonly space: Space; readonly path: Path }

/** A preset's name, or `@file.json` with the settings of a space. Throws CliError `usage`. */
function readSpaceRef(terminal: Terminal, text: string): SpaceRef {
  let ref: unknown = text
  if (text.startsWith('@')) {
    try {
      ref = JSON.parse(readFileSync(resolve(terminal.folder, text.slice(1)), 'utf8'))
    } catch (error) {
      throw new CliError('usage', `--space ${text}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  const parsed = spaceRefSchema.safeParse(ref)
  if (!parsed.success) throw new CliError('usage', `--space ${text} is not a space`, fieldErrors(parsed.error))
  return parsed.data
}

/** Throws CliError `usage`. */
function readNetwork(terminal: Terminal, args: { space: string; architecture: string }): Network {
  const ref = readSpaceRef(terminal, args.space)
  try {
    const space = createSpace(ref)
    return { ref, space, path: parseArchitecture(space, args.architecture) }
  } catch (error) {
    throw error instanceof SpaceError ? new CliError('usage', error.message) : error
  }
}

export { type Network, networkFlags, readNetwork, readSpaceRef }
