"""Values as frames of the worker socket. Outputs are JSON texts already and are put in unread."""

from spaces_contracts.requests import MAX_FRAME_BYTES
from spaces_contracts.worker_socket import InferenceProgress, Refused
from spaces_worker_agent.attempts import Accept, Chunks, Key, Outgoing, Progress, Refuse, Result


def fits(result: Result) -> bool:
    """Whether a result fits into one frame; its output alone was measured before, its files were not."""
    if not result.output_files:
        return True
    return len(encode(result).encode()) <= MAX_FRAME_BYTES


def encode(item: Outgoing) -> str:
    """The text of one frame."""
    if isinstance(item, Accept):
        return f'{_head("accepted", item.key)},"after_ms":{item.after_ms}}}'
    if isinstance(item, Chunks):
        return f'{_head("inference_chunk", item.key)},"n":{item.n},"data":[{",".join(item.data)}]}}'
    if isinstance(item, Result):
        return _result(item)
    rid, attempt = item.key
    if isinstance(item, Progress):
        return InferenceProgress(
            request_id=rid, attempt=attempt, percent=item.percent, message=item.message
        ).encode()
    assert isinstance(item, Refuse)
    problem = item.problem
    return Refused(
        request_id=rid, attempt=attempt, code=problem.code, message=problem.message
    ).encode()


def _head(kind: str, key: Key) -> str:
    return f'{{"type":"{kind}","request_id":"{key.request_id}","attempt":{key.attempt}'


def _result(result: Result) -> str:
    parts = [
        _head("inference_result", result.key),
        f'"space_id":"{result.space_id}","status":"{result.status}","last_n":{result.last_n}',
        f'"processing_time_seconds":{result.processing_time_seconds!r}',
        f'"timestamp":"{result.timestamp.isoformat()}"',
    ]
    if result.output_json is not None:
        parts.append(f'"output":{result.output_json}')
    if result.output_files:
        files = ",".join(file.model_dump_json() for file in result.output_files)
        parts.append(f'"output_files":[{files}]')
    if result.error is not None:
        parts.append(f'"error":{result.error.model_dump_json(exclude_none=True)}')
    return ",".join(parts) + "}"
