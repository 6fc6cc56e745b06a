// What a command is made of, without citty's promises and functions, which no command here uses.

import type { ArgsDef, CommandDef, CommandMeta, SubCommandsDef } from 'citty'

function partsOf(command: CommandDef): { meta: CommandMeta; args: ArgsDef; subCommands: Record<string, CommandDef> } {
  return {
    meta: (command.meta ?? {}) as CommandMeta,
    args: (command.args ?? {}) as ArgsDef,
    subCommands: (command.subCommands ?? {}) as SubCommandsDef as Record<string, CommandDef>,
  }
}

export { partsOf }
