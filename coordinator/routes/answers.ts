// What the descriptions of routes have in common.

import type * as z from 'zod'

const json = <S extends z.ZodType>(schema: S, description: string) => ({ description, content: { 'application/json': { schema } } })
const bearer = [{ bearer: [] }]

export { bearer, json }
