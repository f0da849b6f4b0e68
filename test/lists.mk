# Every test, by kind; test/check_house.sh proves that none is left out.
# TAP tests are all of test/t/*.pl.
REGRESS = contract
ISOLATION =
