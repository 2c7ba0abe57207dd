from pipeline.base.ray_limit import Limit


def test_each_process_that_is_lost_takes_one_and_as_many_jobs_as_run_give_one_back() -> None:
    limit = Limit()
    limit.made()
    assert limit.most > 10**9
    limit.lost(8)
    limit.lost(7)
    assert limit.most == 6
    for made, most in ((5, 6), (1, 7), (7, 8), (3, 8)):
        for _ in range(made):
            limit.made()
        assert limit.most == most
    limit.lost(3)
    assert limit.most == 2


def test_one_job_may_always_run() -> None:
    limit = Limit()
    for _ in range(3):
        limit.lost(1)
    assert limit.most == 1
