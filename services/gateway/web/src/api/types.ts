/** The API's shapes by the names that its document gives them. */
import type { components } from './schema';

type Schemas = components['schemas'];

export type Connection = Schemas['Connection'];
export type Credential = Schemas['Credential'];
export type FileRef = Schemas['FileRef'];
export type InputKind = Schemas['InputKind'];
export type Login = Schemas['Login'];
export type Me = Schemas['Me'];
export type NewCredential = Schemas['NewCredential'];
export type NewSpace = Schemas['NewSpace'];
export type NewToken = Schemas['NewToken'];
export type Permission = Schemas['Permission'];
export type Principal = Schemas['Principal'];
export type ProblemDocument = Schemas['ProblemDocument'];
export type Queue = Schemas['Queue'];
export type RequestDetails = Schemas['DetailsDocument'];
export type RequestDocument = Schemas['RequestDocument'];
export type RequestState = Schemas['RequestState'];
export type Space = Schemas['Space'];
export type SpaceChange = Schemas['SpaceChange'];
export type SpacePolicy = Schemas['SpacePolicy'];
export type User = Schemas['User'];
export type Visibility = Schemas['Visibility'];
