// What a command is made of. citty allows each part to be a function or a promise; subcommands are functions where their
// code is heavy, and then loaded only when somebody runs them or asks for help.

import type { ArgsDef, CommandDef, CommandMeta, Resolvable } from 'citty'

type CommandParts = {
  readonly meta: CommandMeta
  readonly args: ArgsDef
  /** By name; each loads its command. */
  readonly subCommands: Readonly<Record<string, () => Promise<CommandDef>>>
}

async function resolved<T>(value: Resolvable<T>): Promise<T> {
  return typeof value === 'function' ? (value as () => T | Promise<T>)() : value
}

async function partsOf(command: CommandDef): Promise<CommandParts> {
  const subCommands = Object.entries((await resolved(command.subCommands)) ?? {})
  return {
    meta: (await resolved(command.meta)) ?? {},
    args: (await resolved(command.args)) ?? {},
    subCommands: Object.fromEntries(subCommands.map(([name, sub]) => [name, () => resolved(sub as Resolvable<CommandDef>)])),
  }
}

export { partsOf }
